//! `phial inspect`

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use anyhow::{Result, ensure};
use phial_formats::{ModelFile, WeightSource};
use phial_model::{Config, KvElement, KvLayout, KvPool, RopeScaling, read_config};

use crate::bundle::{TextParts, text_parts};
use crate::{cli, locate, memory};

pub fn run(arguments: &cli::Inspect) -> Result<()> {
    let located = locate::find(&arguments.path)?;
    let file = ModelFile::open(&located.path)?;
    let (config, _) = read_config(&file, &located.path)?;
    let context = arguments.context.unwrap_or(config.context_max);
    ensure!(
        context >= 1 && context <= config.context_max,
        "--context is {context}; the model's context has {} tokens",
        config.context_max
    );
    let text = text_parts(&file, &located.path);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut line = |name: &str, value: String| writeln!(out, "{name:14} {value}");
    line("file", located.path.display().to_string())?;
    describe(&config, &mut line)?;
    describe_text(&text, &mut line)?;
    let bytes = describe_tensors(&file, &mut line)?;
    line("a token keeps", kept_bytes(&config))?;
    let layout = config.default_kv(context);
    let kv = (layout.block_bytes() * context.div_ceil(KvPool::BLOCK_TOKENS)) as u64;
    line(
        "memory",
        format!(
            "{} of weights + {} of keys and values for {context} tokens ({})",
            memory::show(bytes),
            memory::show(kv),
            layout.element.name()
        ),
    )?;
    if let Some(free) = memory::available_bytes() {
        let room = super::serve::cache_bytes(free.saturating_sub(bytes));
        let tokens = room / layout.block_bytes().max(1) as u64 * KvPool::BLOCK_TOKENS as u64;
        let fits = tokens.min(config.context_max as u64);
        line("fits", format!("a context of {fits} tokens in the memory that is free now"))?;
    }
    if arguments.tensors {
        writeln!(out)?;
        for info in file.tensors() {
            writeln!(out, "{:6} {:18} {}", info.dtype.name(), shape(&info.shape), info.name)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn describe(
    config: &Config,
    line: &mut impl FnMut(&str, String) -> std::io::Result<()>,
) -> Result<()> {
    line("architecture", config.architecture.clone())?;
    line("parameters", format!("{:.1} M", config.parameters() as f64 / 1e6))?;
    line(
        "layers",
        format!("{}, hidden {}, mlp {}", config.layers, config.hidden, config.intermediate),
    )?;
    line(
        "attention",
        format!(
            "{} heads, {} key/value heads, {} elements each, {} rotate",
            config.heads, config.kv_heads, config.head_dim, config.rope.dims
        ),
    )?;
    let regimes = match &config.rope.scaling {
        RopeScaling::Long { original_context, .. } => {
            format!(" (LongRoPE: short factors up to {original_context}, long beyond)")
        }
        _ => String::new(),
    };
    line("context", format!("{} tokens{regimes}", config.context_max))?;
    let head = if config.tied { "tied to the embedding" } else { "its own" };
    line("vocabulary", format!("{} tokens, head {head}", config.vocabulary))?;
    Ok(())
}

/// Bytes of keys and values of a token, in every type that `--kv` takes and the heads fit.
fn kept_bytes(config: &Config) -> String {
    let types = KvElement::ALL.into_iter().filter(|element| element.fits(config.head_dim));
    let each = types.map(|element| {
        let layout = KvLayout { element, ..config.default_kv(1) };
        format!("{} ({})", layout.block_bytes() / KvPool::BLOCK_TOKENS, element.name())
    });
    format!("{} bytes of keys and values", each.collect::<Vec<_>>().join(", "))
}

fn describe_text(
    text: &Result<Option<TextParts>>,
    line: &mut impl FnMut(&str, String) -> std::io::Result<()>,
) -> Result<()> {
    let text = match text {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(line("tokenizer", "none".to_owned())?),
        Err(error) => return Ok(line("tokenizer", crate::one_line(error))?),
    };
    let template = match &text.template {
        Some(phial_text::ChatTemplate::Phi4) => "Phi-4-mini, with tools",
        Some(phial_text::ChatTemplate::Jinja(_)) => "the model's own (Jinja)",
        None => "none",
    };
    line("template", template.to_owned())?;
    let stops: Vec<_> = text
        .stop_tokens
        .iter()
        .map(|id| format!("{id} {:?}", text.tokenizer.token_text(*id).unwrap_or_default()))
        .collect();
    line("stops at", stops.join(", "))?;
    Ok(())
}

/// Tensors by type; returns the bytes of all.
fn describe_tensors(
    file: &ModelFile,
    line: &mut impl FnMut(&str, String) -> std::io::Result<()>,
) -> Result<u64> {
    let mut types: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for info in file.tensors() {
        let entry = types.entry(info.dtype.name()).or_default();
        entry.0 += 1;
        entry.1 += info.data_bytes().unwrap_or(0) as u64;
    }
    let bytes = types.values().map(|(_, bytes)| bytes).sum();
    let parts: Vec<_> = types
        .iter()
        .map(|(name, (count, bytes))| format!("{count} {name} ({})", memory::show(*bytes)))
        .collect();
    line("tensors", format!("{}: {}", file.tensors().len(), parts.join(", ")))?;
    Ok(bytes)
}

fn shape(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
