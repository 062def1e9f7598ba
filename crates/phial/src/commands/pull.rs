//! `phial pull`

use anyhow::Result;

use crate::pull::pull;
use crate::{cli, memory};

pub fn run(arguments: &cli::Pull) -> Result<()> {
    let model = pull(&arguments.name, arguments.recipe.as_deref(), arguments.offline)?;
    let (manifest, path) = (model.manifest(), model.path());
    println!("{} is here: {}, {}", manifest.name, memory::show(manifest.bytes), path.display());
    Ok(())
}
