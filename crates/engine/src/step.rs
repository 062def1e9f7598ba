//! One step: plan, run the model once, take what came of it.

use std::ops::Range;
use std::time::Duration;

use phial_model::{Batch, Forward, Logits, Outputs, Span};

use crate::advance::{advance, finish};
use crate::constraint::{self, Choice, Open};
use crate::drafter::Source;
use crate::engine::Engine;
use crate::event::{Event, FinishReason, Progress};
use crate::prompt_report::Reporting;
use crate::request::RequestId;
use crate::sampler::Sampler;
use crate::scheduler::Running;
use crate::sequence::Sequence;

impl<M: Forward + ?Sized> Engine<M> {
    /// Runs the model once for all sequences that have work and appends what came of it, in order
    /// of submission. `now` as in [`Engine::submit`], at the start of the step; from the time that
    /// steps take the engine learns whether guesses are worth checking. If it never changes an
    /// estimate has to do.
    pub fn step(&mut self, now: Duration, events: &mut Vec<Event>) -> Progress {
        self.scheduler.plan(now, |tokens| self.model.rope_regime(tokens));
        let open = take_constraints(self.scheduler.running_mut());
        let (running, kv) = self.scheduler.step_parts();
        let spans: Vec<Span<'_>> = running.iter().filter_map(span).collect();
        if spans.is_empty() {
            return self.scheduler.progress();
        }
        let batch = Batch { spans: &spans };
        let (model, scratch) = (&self.model, &mut self.scratch);
        let (logits, choices) = constraint::beside(open, |allowed| match allowed {
            None => model.forward(&batch, kv, scratch),
            Some(allowed) => model.forward_allowed(&batch, allowed, kv, scratch),
        });
        let mut choices = choices.into_iter();

        let progress = self.scheduler.progress();
        let mut finished = Vec::new();
        let mut first_row = 0;
        for one in self.scheduler.running_mut() {
            let rows = first_row..first_row + logit_rows(one);
            first_row = rows.end;
            let choices = choices.by_ref().take(rows.len()).collect();
            if settle(one, &logits, (rows, choices), &mut self.sampler, events) {
                finished.push(one.sequence.id);
            }
        }
        self.scheduler.publish();
        finished.extend(self.report_hidden(events));
        for id in finished {
            self.scheduler.remove(id);
        }
        progress
    }

    /// Hands the hidden states of the step to those that asked for them; gives who has ended.
    fn report_hidden(&mut self, events: &mut Vec<Event>) -> Vec<RequestId> {
        let width = self.model.hidden_size();
        let mut states = self.scratch.hidden();
        let mut finished = Vec::new();
        for Running { sequence, planned, .. } in self.scheduler.running_mut() {
            if *planned == 0 || !matches!(sequence.report, Reporting::MeanHidden { .. }) {
                continue;
            }
            let (own, others) = states.split_at(*planned * width);
            states = others;
            sequence.report.take_hidden(sequence.cache.tokens - *planned, own, width);
            if sequence.unread() == 0 {
                let mean = sequence.report.mean_hidden();
                events.push(Event::PromptHidden { request: sequence.id, mean });
                events.push(finish(sequence, FinishReason::Length));
                finished.push(sequence.id);
            }
        }
        finished
    }
}

/// The part of a running sequence in the step.
fn span(one: &Running) -> Option<Span<'_>> {
    if one.planned == 0 {
        return None;
    }
    let sequence = &one.sequence;
    let start = sequence.cache.tokens;
    Some(Span {
        tokens: one.guessing.as_ref().map_or_else(
            || &sequence.tokens[start..start + one.planned],
            |guessing| &guessing.tokens,
        ),
        start,
        blocks: &sequence.cache.blocks,
        regime: sequence.cache.regime,
        adapter: sequence.adapter,
        outputs: outputs(one),
    })
}

/// What a running sequence needs of the step.
fn outputs(one: &Running) -> Outputs {
    let usual = match one.rows() {
        0 => Outputs::None,
        rows => Outputs::Last(rows),
    };
    match one.sequence.report.outputs(one.sequence.prompt_tokens, one.planned) {
        Some(outputs) if one.planned > 0 => outputs,
        _ => usual,
    }
}

/// Takes the constraints out of the sequences whose next token this step chooses: one entry for
/// each row of logits. Constrained sequences guess no tokens, so
/// theirs is the last of their rows.
fn take_constraints(running: &mut [Running]) -> Vec<Open> {
    let mut open = Vec::new();
    for one in running {
        let rows = logit_rows(one);
        open.resize_with(open.len() + rows, || None);
        if let Some(last) = open.last_mut()
            && rows > 0
            && one.completes()
            && let Some(constraint) = one.sequence.constraint.take()
        {
            *last = Some((constraint, one.sequence.stop_tokens.clone()));
        }
    }
    open
}

/// Rows of logits that the step makes for a running sequence.
fn logit_rows(one: &Running) -> usize {
    match outputs(one) {
        Outputs::Last(count) => count,
        Outputs::None | Outputs::Hidden => 0,
    }
}

/// Takes what a step made of a sequence, whose logits are `rows`, with what may come after each;
/// true if the sequence has ended.
///
/// A guess is right if it is the token that is chosen from the row before it: then the row after
/// it is what a step of its own would have made, bit for bit. Keys and values of wrong guesses
/// lie behind the sequence's tokens, to be overwritten.
fn settle(
    one: &mut Running,
    logits: &Logits<'_>,
    (rows, allowed): (Range<usize>, Vec<Choice>),
    sampler: &mut Sampler,
    events: &mut Vec<Event>,
) -> bool {
    let choices = one.rows();
    let Running { sequence, planned, guessing } = one;
    let start = sequence.cache.tokens;
    sequence.reach(start + *planned);
    report_logprobs(sequence, start, rows.clone().map(|row| logits.row(row)), events);
    if choices == 0 || rows.is_empty() {
        return false;
    }
    let guesses = guessing.as_ref().map_or(&[][..], |guessing| &guessing.tokens[1..]);
    let mut right = 0;
    let mut ended = false;
    let allowed = allowed.into_iter().skip(rows.len() - choices);
    for ((choice, row), allowed) in (rows.end - choices..rows.end).enumerate().zip(allowed) {
        let advanced = advance(sequence, logits.row(row), allowed, sampler, events);
        ended = advanced.ended;
        if ended || guesses.get(choice).copied() != advanced.token {
            break;
        }
        right += 1;
    }
    sequence.reach(start + *planned + right);
    if guessing.as_ref().is_some_and(|guessing| guessing.source == Source::Prediction) {
        sequence.accepted_prediction_tokens += right;
        sequence.rejected_prediction_tokens += guesses.len() - right;
    }
    ended
}

/// Tells of the prompt's log-probabilities that follow from `rows`, the logits of the positions
/// from `start` on.
fn report_logprobs<'a>(
    sequence: &mut Sequence,
    start: usize,
    rows: impl Iterator<Item = &'a [f32]>,
    events: &mut Vec<Event>,
) {
    let prompt = &sequence.tokens[..sequence.prompt_tokens];
    let logprobs = sequence.report.take_logits(prompt, start, rows);
    if !logprobs.is_empty() {
        events.push(Event::PromptLogprobs { request: sequence.id, logprobs });
    }
}
