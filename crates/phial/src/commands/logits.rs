//! `phial logits`

use std::io::{BufWriter, Write};

use anyhow::{Result, ensure};
use phial_model::{
    AdapterId, Batch, BlockId, Forward, KvPool, Model, Outputs, Precision, Scratch, Span,
};
use phial_text::SpecialTokens;

use crate::bundle::{Bundle, TextParts};
use crate::cli;
use crate::locate::locate;

/// Tokens that are read at once.
const CHUNK_TOKENS: usize = 512;

/// Rows of the table without `--json`.
const SHOWN: usize = 10;

pub fn run(arguments: &cli::Logits) -> Result<()> {
    let located = locate(arguments.model.model.as_deref(), arguments.model.offline)?;
    let precision = match arguments.precision {
        cli::Precision::F32 => Precision::F32,
        cli::Precision::Auto => Precision::Auto,
        cli::Precision::Large => Precision::Large,
    };
    let mut bundle = Bundle::load(&located.path, precision, &arguments.model)?;
    let ids = match &arguments.prompt {
        Some(prompt) => {
            let (model, text) = bundle.text()?;
            let ids = text.tokenizer.encode(prompt, SpecialTokens::Recognise);
            bundle = Bundle { model, text: Ok(text) };
            ids
        }
        None => arguments.ids.clone(),
    };
    check(&bundle.model, &ids, arguments.last)?;
    bundle.model.choose_kv(arguments.model.kv_element(), ids.len())?;
    let adapter = match &arguments.adapter {
        Some(folder) => Some(bundle.model.load_adapter(folder)?),
        None => None,
    };
    let rows = forward(&bundle.model, &ids, arguments.last, adapter);
    if arguments.json {
        print_json(&ids, &rows)
    } else {
        print_table(&rows, bundle.text.as_ref().ok())
    }
}

fn check(model: &Model, ids: &[u32], last: usize) -> Result<()> {
    ensure!(!ids.is_empty(), "there is no token; give --ids or a longer --prompt");
    let context = model.context_max();
    ensure!(ids.len() <= context, "{} tokens, but the context ends at {context}", ids.len());
    ensure!(last >= 1 && last <= ids.len(), "--last is {last}; there are {} tokens", ids.len());
    let vocabulary = model.vocabulary();
    if let Some(id) = ids.iter().find(|id| **id as usize >= vocabulary) {
        anyhow::bail!("token id {id} is outside the vocabulary of {vocabulary}");
    }
    Ok(())
}

/// Logits of the last `last` positions.
fn forward(model: &Model, ids: &[u32], last: usize, adapter: Option<AdapterId>) -> Vec<Vec<f32>> {
    let count = ids.len().div_ceil(KvPool::BLOCK_TOKENS);
    let blocks: Vec<_> = (0..count as u32).map(BlockId).collect();
    let mut kv = KvPool::new(model.kv_layout(), count);
    let mut scratch = Scratch::new();
    let mut rows = Vec::new();
    for (index, tokens) in ids.chunks(CHUNK_TOKENS).enumerate() {
        let start = index * CHUNK_TOKENS;
        let wanted = (start + tokens.len()).saturating_sub((ids.len() - last).max(start));
        let span = Span {
            tokens,
            start,
            blocks: &blocks,
            regime: model.rope_regime(ids.len()),
            adapter,
            outputs: if wanted == 0 { Outputs::None } else { Outputs::Last(wanted) },
        };
        let logits = model.forward(&Batch { spans: &[span] }, &mut kv, &mut scratch);
        rows.extend((0..logits.rows()).map(|row| logits.row(row).to_vec()));
    }
    rows
}

fn print_json(ids: &[u32], rows: &[Vec<f32>]) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    write!(out, "{{\"ids\":{},\"logits\":[", serde_json::to_string(ids)?)?;
    for (index, row) in rows.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}{}", serde_json::to_string(row)?)?;
    }
    writeln!(out, "]}}")?;
    out.flush()?;
    Ok(())
}

fn print_table(rows: &[Vec<f32>], text: Option<&TextParts>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for row in rows {
        let mut order: Vec<_> = row.iter().enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(a.1));
        for (id, logit) in order.into_iter().take(SHOWN) {
            let token = text.map(|text| text.tokenizer.decode(&[id as u32], false));
            writeln!(out, "{logit:10.4} {id:7} {:?}", token.unwrap_or_default())?;
        }
        writeln!(out)?;
    }
    Ok(())
}
