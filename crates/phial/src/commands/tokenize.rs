//! `phial tokenize`

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use phial_text::SpecialTokens;

use crate::cli;
use crate::{bundle, locate};

pub fn run(arguments: &cli::Tokenize) -> Result<()> {
    let given = Path::new(&arguments.model);
    let path = if given.join("tokenizer.json").is_file() || given.is_file() {
        given.to_path_buf()
    } else {
        locate::find(&arguments.model)?.path
    };
    let tokenizer = bundle::tokenizer(&path)?;
    let bytes = if arguments.text == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
        bytes
    } else {
        arguments.text.clone().into_bytes()
    };
    let ids = match (std::str::from_utf8(&bytes), arguments.special) {
        (Ok(text), true) => tokenizer.encode(text, SpecialTokens::Recognise),
        (Ok(text), false) => tokenizer.encode(text, SpecialTokens::AsText),
        (Err(error), true) => {
            anyhow::bail!("--special needs UTF-8, and the text is not: {error}");
        }
        (Err(_), false) => tokenizer.encode_bytes(&bytes),
    };
    let line = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}
