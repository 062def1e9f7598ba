//! `phial pull`

use std::io::Write;

use anyhow::Result;

use crate::pull::pull;
use crate::{cli, memory};

pub fn run(arguments: &cli::Pull) -> Result<()> {
    let model = pull(&arguments.name, arguments.recipe.as_deref(), arguments.offline)?;
    let (manifest, path) = (model.manifest(), model.path());
    let (name, size) = (&manifest.name, memory::show(manifest.bytes));
    writeln!(std::io::stdout(), "{name} is here: {size}, {}", path.display())?;
    Ok(())
}
