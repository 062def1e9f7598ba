//! Fields that every request for generated text has: how tokens are chosen, where the text ends,
//! how it is sent.

use serde_json::Value;

use crate::error::InvalidRequest;
use crate::fields::{Fields, type_name};

/// The most stop strings of a request.
pub(crate) const STOP_STRINGS_MAX: usize = 4;

/// The most entries of `metadata`.
pub(crate) const METADATA_MAX: usize = 16;

/// How tokens are chosen and where the text ends. Numbers are within the ranges of the official
/// API; `None` leaves the choice to the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplingFields {
    /// `0..=2`
    pub temperature: Option<f32>,
    /// `0..=1`
    pub top_p: Option<f32>,
    /// Extension; `Some(0)` is off.
    pub top_k: Option<usize>,
    /// Extension, `0..=1`.
    pub min_p: Option<f32>,
    /// Extension, above 0 and at most 100.
    pub repetition_penalty: Option<f32>,
    /// `-2..=2`
    pub presence_penalty: Option<f32>,
    /// `-2..=2`
    pub frequency_penalty: Option<f32>,
    /// Token ids and what is added to their logits, `-100..=100`.
    pub logit_bias: Vec<(u32, f32)>,
    /// For the same answer again.
    pub seed: Option<i64>,
    /// At most 4, none empty.
    pub stop: Vec<String>,
    /// Extension: go on after the end of the turn or the text.
    pub ignore_eos: bool,
}

impl SamplingFields {
    /// The names that [`SamplingFields::read`] reads.
    pub(crate) const NAMES: &[&str] = &[
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "seed",
        "stop",
        "ignore_eos",
    ];

    /// Reads all of them.
    pub(crate) fn read(fields: &Fields<'_>) -> Result<Self, InvalidRequest> {
        Ok(Self {
            temperature: fields.decimal("temperature", 0.0..=2.0)?,
            top_p: fields.decimal("top_p", 0.0..=1.0)?,
            top_k: read_top_k(fields)?,
            min_p: fields.decimal("min_p", 0.0..=1.0)?,
            repetition_penalty: read_repetition_penalty(fields)?,
            presence_penalty: fields.decimal("presence_penalty", -2.0..=2.0)?,
            frequency_penalty: fields.decimal("frequency_penalty", -2.0..=2.0)?,
            logit_bias: read_logit_bias(fields)?,
            seed: fields.integer("seed", i64::MIN..=i64::MAX)?,
            stop: read_stop(fields)?,
            ignore_eos: fields.boolean("ignore_eos")?.unwrap_or(false),
        })
    }
}

/// How to stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// End with a chunk that tells the usage.
    pub include_usage: bool,
}

/// Other servers switch it off with -1.
pub(crate) fn read_top_k(fields: &Fields<'_>) -> Result<Option<usize>, InvalidRequest> {
    Ok(fields.integer("top_k", -1..=i64::from(u32::MAX))?.map(|k| k.max(0) as usize))
}

/// Labels for the books of whoever asks: they have no influence on the answer.
pub(crate) const LABELS: &[&str] = &["metadata", "prompt_cache_key", "safety_identifier", "user"];

/// Checks [`LABELS`].
pub(crate) fn check_labels(fields: &Fields<'_>) -> Result<(), InvalidRequest> {
    for name in ["user", "safety_identifier", "prompt_cache_key"] {
        fields.string(name)?;
    }
    let Some(metadata) = fields.object("metadata")? else { return Ok(()) };
    let mut count = 0;
    for (name, _) in metadata.iter() {
        metadata.string(name)?;
        count += 1;
    }
    if count > METADATA_MAX {
        return Err(InvalidRequest::value(
            "metadata",
            format_args!("{count} entries. Expected at most {METADATA_MAX}."),
        ));
    }
    Ok(())
}

fn read_repetition_penalty(fields: &Fields<'_>) -> Result<Option<f32>, InvalidRequest> {
    let penalty = fields.decimal("repetition_penalty", 0.0..=100.0)?;
    if penalty == Some(0.0) {
        return Err(InvalidRequest::value(
            "repetition_penalty",
            "expected a value above 0, but got 0 instead.",
        ));
    }
    Ok(penalty)
}

fn read_logit_bias(fields: &Fields<'_>) -> Result<Vec<(u32, f32)>, InvalidRequest> {
    let Some(biases) = fields.object("logit_bias")? else { return Ok(Vec::new()) };
    let mut read = Vec::new();
    for (name, _) in biases.iter() {
        let token = name.parse().map_err(|_| {
            InvalidRequest::value(
                "logit_bias",
                format_args!("'{name}' is not a token id; keys are the decimal ids of tokens."),
            )
        })?;
        read.extend(biases.decimal(name, -100.0..=100.0)?.map(|bias| (token, bias)));
    }
    Ok(read)
}

fn read_stop(fields: &Fields<'_>) -> Result<Vec<String>, InvalidRequest> {
    let stop = match fields.get("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(stop)) => vec![stop.clone()],
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(index, value)| {
                value.as_str().map(str::to_owned).ok_or_else(|| {
                    InvalidRequest::wrong_type(
                        format!("stop[{index}]"),
                        "a string",
                        type_name(value),
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?,
        Some(other) => {
            return Err(InvalidRequest::wrong_type(
                "stop",
                "a string or an array of strings",
                type_name(other),
            ));
        }
    };
    if stop.len() > STOP_STRINGS_MAX {
        return Err(InvalidRequest::value(
            "stop",
            format_args!(
                "array too long. Expected an array with maximum length {}, but got an array with \
                 length {} instead.",
                STOP_STRINGS_MAX,
                stop.len()
            ),
        ));
    }
    if stop.iter().any(String::is_empty) {
        return Err(InvalidRequest::value("stop", "a stop string is empty."));
    }
    Ok(stop)
}

pub(crate) fn read_stream(fields: &Fields<'_>) -> Result<Option<StreamOptions>, InvalidRequest> {
    let streams = fields.boolean("stream")?.unwrap_or(false);
    let mut read = StreamOptions::default();
    if let Some(options) = fields.object("stream_options")? {
        if !streams {
            return Err(InvalidRequest::value(
                "stream_options",
                "only allowed when 'stream' is true.",
            ));
        }
        read.include_usage = options.boolean("include_usage")?.unwrap_or(false);
        options.known(&[&["continuous_usage_stats", "include_obfuscation", "include_usage"]])?;
        // Padding against eavesdroppers on the length of chunks: optional for a server to send.
        options.boolean("include_obfuscation")?;
        if options.boolean("continuous_usage_stats")? == Some(true) {
            return Err(InvalidRequest::unsupported(options.path("continuous_usage_stats")));
        }
    }
    Ok(streams.then_some(read))
}
