//! `phial synth`

use std::io::Write;

use anyhow::Result;
use phial_convert::{Preset, Recipe, synthesise};
use phial_kernels::Pool;

use crate::progress::Bytes;
use crate::{cli, memory};

pub fn run(arguments: &cli::Synth) -> Result<()> {
    let preset = Preset::parse(&arguments.preset)?;
    let recipe = Recipe::parse(&arguments.recipe)?;
    let pool = Pool::new(Pool::default_threads());
    let mut bar = Bytes::new("writing");
    let mut size = 0;
    let mut report = |done, total| {
        size = total;
        bar.set("writing", done, Some(total));
    };
    synthesise(&arguments.output, preset, &recipe, arguments.seed, &pool, &mut report)?;
    bar.finish();
    let output = arguments.output.display();
    writeln!(std::io::stdout(), "{output}: {} of random weights", memory::show(size))?;
    Ok(())
}
