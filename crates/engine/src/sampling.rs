//! How the next token is chosen: the parameters, checked.

use std::fmt;

use phial_model::TokenId;
use thiserror::Error;

/// Sampling parameters as they come from outside, unchecked. The default is plain sampling at
/// temperature 1.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingOptions {
    /// `0..=100`; 0 is greedy: the most probable token, the lowest id of equals.
    pub temperature: f32,
    /// Only the `top_k` most probable tokens; 0 is off.
    pub top_k: usize,
    /// Only the fewest most probable tokens that together have this probability, `0..=1`;
    /// 1 is off, and one token always remains.
    pub top_p: f32,
    /// Only tokens at least this probable relative to the most probable one, `0..=1`; 0 is off.
    pub min_p: f32,
    /// Above 0, at most 100; 1 is off. Logits of tokens in the prompt or generated are divided by it if
    /// positive, multiplied if negative.
    pub repetition_penalty: f32,
    /// `-2..=2`; subtracted from the logits of tokens generated at least once.
    pub presence_penalty: f32,
    /// `-2..=2`; subtracted from the logits of generated tokens once per occurrence.
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens, each `-100..=100`; at most
    /// [`Sampling::LOGIT_BIAS_MAX`] of them. A token given twice gets both.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// The same seed, prompt and model give the same tokens, whatever runs beside. `None`: the
    /// engine derives one from its entropy.
    pub seed: Option<u64>,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
        }
    }
}

/// Sampling parameters that are known to be valid.
///
/// ```
/// use phial_engine::{Sampling, SamplingOptions};
///
/// let sampling = Sampling::new(SamplingOptions { top_p: 0.9, ..Default::default() }).unwrap();
/// assert_eq!(sampling.options().top_p, 0.9);
///
/// let error = Sampling::new(SamplingOptions { top_p: 1.5, ..Default::default() }).unwrap_err();
/// assert_eq!(error.to_string(), "top_p is 1.5; it must be from 0 to 1");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling(SamplingOptions);

impl Sampling {
    /// The most entries of a logit bias: each is a cost per token.
    pub const LOGIT_BIAS_MAX: usize = 1024;

    /// Checks the parameters.
    ///
    /// # Errors
    /// The first parameter that is out of its range.
    pub fn new(options: SamplingOptions) -> Result<Self, InvalidSampling> {
        check("temperature", options.temperature, 0.0, 100.0)?;
        check("top_p", options.top_p, 0.0, 1.0)?;
        check("min_p", options.min_p, 0.0, 1.0)?;
        check("repetition_penalty", options.repetition_penalty, 0.0, 100.0)?;
        if options.repetition_penalty == 0.0 {
            // Logits are divided by it.
            return Err(InvalidSampling {
                parameter: "repetition_penalty",
                value: "0".to_owned(),
                range: "above 0 and at most 100".to_owned(),
            });
        }
        check("presence_penalty", options.presence_penalty, -2.0, 2.0)?;
        check("frequency_penalty", options.frequency_penalty, -2.0, 2.0)?;
        if options.logit_bias.len() > Self::LOGIT_BIAS_MAX {
            return Err(InvalidSampling {
                parameter: "logit_bias",
                value: format!("a list of {} entries", options.logit_bias.len()),
                range: format!("at most {} entries", Self::LOGIT_BIAS_MAX),
            });
        }
        for &(_, bias) in &options.logit_bias {
            check("logit_bias", bias, -100.0, 100.0)?;
        }
        Ok(Self(options))
    }

    /// Always the most probable token.
    pub fn greedy() -> Self {
        Self(SamplingOptions { temperature: 0.0, ..SamplingOptions::default() })
    }

    /// The parameters.
    pub fn options(&self) -> &SamplingOptions {
        &self.0
    }
}

/// A sampling parameter out of its range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{parameter} is {value}; it must be {range}")]
pub struct InvalidSampling {
    parameter: &'static str,
    value: String,
    range: String,
}

impl InvalidSampling {
    /// The name of the parameter, a field of [`SamplingOptions`].
    pub fn parameter(&self) -> &'static str {
        self.parameter
    }
}

fn check(
    parameter: &'static str,
    value: f32,
    low: impl Into<f32> + fmt::Display + Copy,
    high: impl Into<f32> + fmt::Display + Copy,
) -> Result<(), InvalidSampling> {
    // Written so that NaN fails.
    if value >= low.into() && value <= high.into() {
        return Ok(());
    }
    let range = format!("from {low} to {high}");
    Err(InvalidSampling { parameter, value: value.to_string(), range })
}
