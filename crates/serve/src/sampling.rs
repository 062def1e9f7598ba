//! From the wire's way of choosing tokens to the engine's.

use phial_engine::SamplingOptions;
use phial_openai::SamplingFields;

/// What `fields` say, and the usual for what they leave open.
pub(crate) fn sampling_options(fields: &SamplingFields) -> SamplingOptions {
    let default = SamplingOptions::default();
    SamplingOptions {
        temperature: fields.temperature.unwrap_or(default.temperature),
        top_k: fields.top_k.unwrap_or(default.top_k),
        top_p: fields.top_p.unwrap_or(default.top_p),
        min_p: fields.min_p.unwrap_or(default.min_p),
        repetition_penalty: fields.repetition_penalty.unwrap_or(default.repetition_penalty),
        presence_penalty: fields.presence_penalty.unwrap_or(default.presence_penalty),
        frequency_penalty: fields.frequency_penalty.unwrap_or(default.frequency_penalty),
        logit_bias: fields.logit_bias.clone(),
        seed: fields.seed.map(|seed| seed as u64),
    }
}
