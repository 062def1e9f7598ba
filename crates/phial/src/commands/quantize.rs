//! `phial quantize`

use std::io::Write;

use anyhow::{Result, ensure};
use phial_convert::{Plan, Recipe, SideFiles, write_tensor};
use phial_formats::gguf::Writer;
use phial_formats::{ModelFile, WeightSource};
use phial_kernels::Pool;
use phial_model::folder_of;

use crate::progress::Bytes;
use crate::{cli, memory};

pub fn run(arguments: &cli::Quantize) -> Result<()> {
    let mut recipe = Recipe::parse(&arguments.recipe)?;
    if arguments.pure {
        recipe = recipe.pure();
    }
    let (input, output) = (&arguments.input, &arguments.output);
    let file = ModelFile::open(input)?;
    let same = output.canonicalize().ok().zip(input.canonicalize().ok());
    ensure!(same.is_none_or(|(a, b)| a != b), "the output is the input, {}", input.display());
    let plan = match &file {
        ModelFile::Gguf(gguf) => Plan::from_gguf(gguf, &recipe)?,
        ModelFile::Safetensors(_) => {
            let folder = folder_of(input);
            let absolute = folder.canonicalize().unwrap_or(folder.clone());
            let name = absolute.file_name().map_or("model".into(), |n| n.to_string_lossy());
            Plan::from_safetensors(file.tensors(), &SideFiles::read(&folder)?, &name, &recipe)?
        }
    };
    let threads = arguments.threads.map_or_else(Pool::default_threads, usize::from);
    let pool = Pool::new(threads);
    let mut writer = Writer::create(output, &plan.metadata, &plan.infos())?;
    let total = writer.total_bytes();
    let mut bar = Bytes::new("quantising");
    let mut done = 0;
    for tensor in &plan.tensors {
        let source = tensor.source.as_ref().and_then(|name| file.tensor(name));
        write_tensor(&mut writer, tensor, source.as_ref(), &pool)?;
        done += tensor.info.data_bytes().unwrap_or(0) as u64;
        bar.set("quantising", done, Some(total));
    }
    writer.finish()?;
    bar.finish();
    let (path, size) = (output.display(), memory::show(total));
    writeln!(std::io::stdout(), "{path}: {size} as {}", recipe.name())?;
    Ok(())
}
