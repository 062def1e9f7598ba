//! From the wire's way of choosing tokens to the engine's.

use phial_engine::{Sampling, SamplingOptions};
use phial_openai::{InvalidRequest, SamplingFields};

use crate::limits::Limits;

/// The sampling of choice `index` of a request. Choices of one seed differ from each other, and
/// each is the same the next time.
pub(crate) fn sampling(
    fields: &SamplingFields,
    vocabulary: usize,
    index: usize,
) -> Result<Sampling, InvalidRequest> {
    if let Some((token, _)) = fields.logit_bias.iter().find(|(t, _)| *t as usize >= vocabulary) {
        return Err(InvalidRequest::value(
            "logit_bias",
            format_args!("token {token} is outside of the vocabulary of {vocabulary} tokens."),
        ));
    }
    let default = SamplingOptions::default();
    let options = SamplingOptions {
        temperature: fields.temperature.unwrap_or(default.temperature),
        top_k: fields.top_k.unwrap_or(default.top_k),
        top_p: fields.top_p.unwrap_or(default.top_p),
        min_p: fields.min_p.unwrap_or(default.min_p),
        repetition_penalty: fields.repetition_penalty.unwrap_or(default.repetition_penalty),
        presence_penalty: fields.presence_penalty.unwrap_or(default.presence_penalty),
        frequency_penalty: fields.frequency_penalty.unwrap_or(default.frequency_penalty),
        logit_bias: fields.logit_bias.clone(),
        seed: fields.seed.map(|seed| (seed as u64).wrapping_add(index as u64)),
    };
    Sampling::new(options)
        .map_err(|error| InvalidRequest::value(error.parameter(), format_args!("{error}.")))
}

/// Checks stop strings, found at the field `param`, against the server's bound.
pub(crate) fn check_stop(
    stop: &[String],
    param: &str,
    limits: &Limits,
) -> Result<(), InvalidRequest> {
    let longest = stop.iter().map(String::len).max().unwrap_or(0);
    if longest <= limits.stop_string_bytes_max {
        return Ok(());
    }
    Err(InvalidRequest::value(
        param,
        format_args!(
            "string too long. Expected at most {} bytes, but got {longest} instead.",
            limits.stop_string_bytes_max
        ),
    ))
}
