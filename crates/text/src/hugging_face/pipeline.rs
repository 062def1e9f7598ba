//! What surrounds the model in a `tokenizer.json`.

use crate::Error;
use crate::split::{Pattern, Step};
use serde_json::Value;

/// The expressions in use, as the files spell them.
const EXPRESSIONS: &[(&str, Step)] = &[
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Step::Pattern(Pattern::O200k),
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Step::Pattern(Pattern::Llama3),
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Step::Pattern(Pattern::Qwen2),
    ),
    (
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        Step::Pattern(Pattern::Gpt2),
    ),
    (r"\p{N}", Step::Digits),
];

pub(super) fn check_normalizer(normalizer: &Value) -> Result<(), Error> {
    let empty = normalizer["normalizers"].as_array().is_some_and(Vec::is_empty);
    if normalizer.is_null() || (kind(normalizer) == "Sequence" && empty) {
        return Ok(());
    }
    Err(Error::unsupported(format!("normalizer {:?}", kind(normalizer))))
}

pub(super) fn check_decoder(decoder: &Value) -> Result<(), Error> {
    if decoder.is_null() || kind(decoder) == "ByteLevel" {
        return Ok(());
    }
    Err(Error::unsupported(format!("decoder {:?}; only \"ByteLevel\" is", kind(decoder))))
}

/// The cuts that the pre-tokeniser makes.
pub(super) fn steps(pre_tokenizer: &Value) -> Result<Vec<Step>, Error> {
    let single = std::slice::from_ref(pre_tokenizer);
    let list = match kind(pre_tokenizer) {
        "Sequence" => pre_tokenizer["pretokenizers"].as_array().map_or(&[][..], Vec::as_slice),
        _ => single,
    };
    let Some((last, before)) = list.split_last() else {
        return Err(Error::unsupported("an empty sequence of pre-tokenizers"));
    };
    if kind(last) != "ByteLevel" {
        return Err(Error::unsupported(format!(
            "pre-tokenizer {:?} at the end; only \"ByteLevel\" is",
            kind(last)
        )));
    }
    let mut steps: Vec<Step> = before.iter().map(step).collect::<Result<_, _>>()?;
    if last["add_prefix_space"].as_bool().unwrap_or(true) {
        return Err(Error::unsupported("pre-tokenizer \"ByteLevel\" with add_prefix_space"));
    }
    if last["use_regex"].as_bool().unwrap_or(true) {
        steps.push(Step::Pattern(Pattern::Gpt2));
    }
    Ok(steps)
}

fn step(pre_tokenizer: &Value) -> Result<Step, Error> {
    match kind(pre_tokenizer) {
        "Digits" if pre_tokenizer["individual_digits"] == true => Ok(Step::Digits),
        "Digits" => Err(Error::unsupported("pre-tokenizer \"Digits\" with groups of digits")),
        "Split" => split(pre_tokenizer),
        other => Err(Error::unsupported(format!("pre-tokenizer {other:?}"))),
    }
}

fn split(pre_tokenizer: &Value) -> Result<Step, Error> {
    let Some(expression) = pre_tokenizer["pattern"]["Regex"].as_str() else {
        return Err(Error::unsupported("pre-tokenizer \"Split\" without an expression"));
    };
    let known = EXPRESSIONS.iter().find(|(known, _)| *known == expression);
    let Some((_, step)) = known else {
        return Err(Error::unsupported(format!("pre-tokenizer expression {expression:?}")));
    };
    let behavior = pre_tokenizer["behavior"].as_str().unwrap_or_default();
    let invert = pre_tokenizer["invert"].as_bool().unwrap_or(false);
    // Matches of all but digits cover the text: then to remove what is between them, or to
    // keep both apart, is the same.
    match (behavior, invert) {
        ("Isolated", _) => Ok(*step),
        ("Removed", true) if *step != Step::Digits => Ok(*step),
        _ => Err(Error::unsupported(format!(
            "pre-tokenizer \"Split\" with behavior {behavior:?} and invert {invert}"
        ))),
    }
}

/// Tokens that the post-processor puts around a document.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
}

pub(super) fn frame(post_processor: &Value) -> Result<Frame, Error> {
    match kind(post_processor) {
        "Sequence" => {
            let mut frame = Frame::default();
            for processor in post_processor["processors"].as_array().into_iter().flatten() {
                let Frame { first, last } = self::frame(processor)?;
                frame.first = frame.first.or(first);
                frame.last = frame.last.or(last);
            }
            Ok(frame)
        }
        "TemplateProcessing" => template(post_processor),
        "" | "ByteLevel" if post_processor.is_null() || post_processor.is_object() => {
            Ok(Frame::default())
        }
        other => Err(Error::unsupported(format!("post-processor {other:?}"))),
    }
}

fn template(post_processor: &Value) -> Result<Frame, Error> {
    let mut frame = Frame::default();
    let mut after_text = false;
    for piece in post_processor["single"].as_array().into_iter().flatten() {
        if piece.get("Sequence").is_some() {
            after_text = true;
            continue;
        }
        let token = piece["SpecialToken"]["id"].as_str();
        let place = if after_text { &mut frame.last } else { &mut frame.first };
        match token {
            Some(token) if place.is_none() => *place = Some(token.to_owned()),
            _ => {
                let error = "post-processor \"TemplateProcessing\" with more than one token \
                             before or after the text";
                return Err(Error::unsupported(error));
            }
        }
    }
    Ok(frame)
}

fn kind(part: &Value) -> &str {
    part["type"].as_str().unwrap_or_default()
}
