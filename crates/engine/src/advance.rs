//! One more token of a sequence: chosen, noted, told.

use phial_model::TokenId;

use crate::constraint::{Choice, Constraint, Followed};
use crate::event::{Event, FinishReason, TokenLogprobs, Usage};
use crate::logprobs::{allowed_logprobs, certain};
use crate::sampler::Sampler;
use crate::sequence::Sequence;
use crate::stop_strings::Matched;

/// What came of a row of logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advanced {
    /// `None`: only the prompt was of interest.
    pub token: Option<TokenId>,
    /// The sequence has ended with it.
    pub ended: bool,
}

/// Chooses the next token of a sequence from the logits after its last one, and tells of it and of
/// those that must follow it under the sequence's constraint.
pub(crate) fn advance(
    sequence: &mut Sequence,
    row: &[f32],
    choice: Choice,
    sampler: &mut Sampler,
    events: &mut Vec<Event>,
) -> Advanced {
    if sequence.tokens.len() >= sequence.tokens_max {
        events.push(finish(sequence, FinishReason::Length));
        return Advanced { token: None, ended: true };
    }
    let mask = match choice.mask {
        Ok(mask) => mask,
        Err(error) => {
            events.push(finish(sequence, FinishReason::Constraint(error.to_string())));
            return Advanced { token: None, ended: true };
        }
    };
    let draw = sequence.generated() as u64;
    let token = sampler.sample_among(row, mask.as_ref(), &sequence.sampler, draw);
    let logprobs = sequence.logprobs.map(|top| allowed_logprobs(row, mask.as_ref(), token, top));
    let mut ended = !append(sequence, token, logprobs, events);
    if !ended && let Some(constraint) = choice.constraint {
        ended = !follow(sequence, constraint, token, events);
    }
    Advanced { token: Some(token), ended }
}

/// Takes the tokens that must follow `token`; false if the sequence has ended.
fn follow(
    sequence: &mut Sequence,
    mut constraint: Constraint,
    token: TokenId,
    events: &mut Vec<Event>,
) -> bool {
    let (forced, complete) = match constraint.follow(token) {
        Ok(Followed::Forced(forced)) => (forced, None),
        Ok(Followed::Complete(forced)) => (forced, Some(FinishReason::StopToken)),
        Err(error) => (Vec::new(), Some(FinishReason::Constraint(error.to_string()))),
    };
    for token in forced {
        let logprobs = sequence.logprobs.map(|top| certain(token, top));
        if !append(sequence, token, logprobs, events) {
            return false;
        }
    }
    if let Some(reason) = complete {
        events.push(finish(sequence, reason));
        return false;
    }
    sequence.constraint = Some(constraint);
    true
}

/// Adds a token to a sequence and tells of it; false if the sequence has ended.
fn append(
    sequence: &mut Sequence,
    token: TokenId,
    logprobs: Option<TokenLogprobs>,
    events: &mut Vec<Event>,
) -> bool {
    record(sequence, token);
    tell(sequence, token, logprobs, events)
}

/// The sequence goes on with `token`.
fn record(sequence: &mut Sequence, token: TokenId) {
    if let Some(drafter) = &mut sequence.drafter {
        drafter.observe(&sequence.tokens, token);
    }
    sequence.sampler.record(token);
    sequence.tokens.push(token);
}

/// Tells of the newest token; false if the sequence has ended.
fn tell(
    sequence: &mut Sequence,
    token: TokenId,
    logprobs: Option<TokenLogprobs>,
    events: &mut Vec<Event>,
) -> bool {
    let stops = sequence.stop_tokens.contains(&token);
    if stops && !sequence.ignore_stop_tokens {
        events.push(finish(sequence, FinishReason::StopToken));
        return false;
    }
    let matched =
        if stops { Matched::Text(String::new()) } else { sequence.transcript.push(token) };
    let (text, mut reason) = match matched {
        Matched::Text(text) => (text, None),
        Matched::Stop { text, stop } => (text, Some(FinishReason::StopString(stop))),
    };
    events.push(Event::Token { request: sequence.id, token, text, logprobs });
    if reason.is_none() && sequence.tokens.len() >= sequence.tokens_max {
        reason = Some(FinishReason::Length);
    }
    let Some(reason) = reason else { return true };
    events.push(finish(sequence, reason));
    false
}

/// The end of a sequence.
pub(crate) fn finish(sequence: &mut Sequence, reason: FinishReason) -> Event {
    let (text, reason) = match (reason, sequence.transcript.finish()) {
        // Whatever followed the stop string is not part of the text.
        (FinishReason::StopString(stop), _) => (String::new(), FinishReason::StopString(stop)),
        (_, Matched::Stop { text, stop }) => (text, FinishReason::StopString(stop)),
        (reason, Matched::Text(text)) => (text, reason),
    };
    Event::Finished { request: sequence.id, reason, text, usage: usage(sequence) }
}

/// What a sequence took so far.
pub(crate) fn usage(sequence: &Sequence) -> Usage {
    Usage {
        prompt_tokens: sequence.prompt_tokens,
        cached_tokens: sequence.cached_tokens,
        generated_tokens: sequence.generated(),
        accepted_prediction_tokens: sequence.accepted_prediction_tokens,
        rejected_prediction_tokens: sequence.rejected_prediction_tokens,
        queued: sequence.started.unwrap_or_default().saturating_sub(sequence.submitted),
    }
}
