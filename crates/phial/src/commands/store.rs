//! `phial list` and `phial rm`

use std::io::Write;

use anyhow::Result;
use phial_hub::{ModelName, Store, resolve};

use crate::cli;
use crate::memory;

pub fn list() -> Result<()> {
    let store = Store::open()?;
    let models = store.list()?;
    let mut out = std::io::stdout().lock();
    if models.is_empty() {
        writeln!(out, "no models yet; get one with: phial pull phi-4-mini   (or: starter)")?;
        return Ok(());
    }
    let width = models.iter().map(|model| model.manifest().name.len()).max().unwrap_or(0).max(4);
    writeln!(out, "{:width$}  {:>9}  SOURCE", "NAME", "SIZE")?;
    for model in &models {
        let manifest = model.manifest();
        let size = memory::show(manifest.bytes);
        writeln!(out, "{:width$}  {size:>9}  {}", manifest.name, manifest.source)?;
    }
    Ok(())
}

pub fn remove(arguments: &cli::Remove) -> Result<()> {
    let store = Store::open()?;
    let name = match resolve(&arguments.name) {
        Ok(source) => source.store_name(),
        Err(_) => ModelName::parse(&arguments.name)?,
    };
    if !store.remove(&name)? {
        anyhow::bail!("{} is not in the store; `phial list` shows what is", arguments.name);
    }
    // What was packed from the model's files, now that they are gone.
    phial_formats::packed::sweep(store.packed_folder());
    writeln!(std::io::stdout().lock(), "removed {}", arguments.name)?;
    Ok(())
}
