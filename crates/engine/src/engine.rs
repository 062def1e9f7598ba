//! The engine: requests in, steps, events out.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use phial_model::{AdapterId, Batch, Forward, Outputs, Scratch, Span, TokenId};
use phial_text::Tokenizer;

use crate::event::{Event, FinishReason, Progress, Usage};
use crate::limits::{InvalidLimits, Limits};
use crate::logprobs::token_logprobs;
use crate::paged_cache::PagedCache;
use crate::prompt_report::{PromptReport, Reporting};
use crate::random::Draws;
use crate::request::{Rejected, Request, RequestId};
use crate::sampler::{Sampler, SamplerState};
use crate::scheduler::{Running, Scheduler};
use crate::sequence::{Sequence, SequenceCache};
use crate::stop_strings::Matched;
use crate::transcript::Transcript;

/// Runs requests on a model, many at once.
///
/// Synchronous: nothing happens outside of [`Engine::step`]. Deterministic: the same calls with
/// the same arguments give the same events.
pub struct Engine<M: Forward + ?Sized> {
    model: Arc<M>,
    tokenizer: Option<Arc<Tokenizer>>,
    limits: Limits,
    /// Tokens of a sequence at most.
    context: usize,
    scheduler: Scheduler,
    sampler: Sampler,
    scratch: Scratch,
    /// Seeds for requests without their own, by request id.
    seeds: Draws,
    next_id: u64,
}

impl<M: Forward + ?Sized> Engine<M> {
    /// An idle engine with a pool of keys and values for `model`. Without a tokenizer events have
    /// no text. With one, ids that it knows nothing about are never generated: rows that pad the
    /// embedding. `entropy` is the source of seeds for requests that bring none; pass something
    /// that differs each time, or a constant to have every run repeat.
    ///
    /// # Errors
    /// If the limits contradict each other or leave no room for a sequence.
    pub fn new(
        model: Arc<M>,
        tokenizer: Option<Arc<Tokenizer>>,
        limits: Limits,
        entropy: u64,
    ) -> Result<Self, InvalidLimits> {
        let layout = model.kv_layout();
        let capacity = limits.resolve(&layout, model.context_max())?;
        let banned = tokenizer
            .as_deref()
            .map(|tokenizer| tokens_without_meaning(tokenizer, model.vocabulary()))
            .unwrap_or_default();
        let cache = PagedCache::new(layout, capacity.blocks, limits.share_prefixes);
        Ok(Self {
            context: capacity.context,
            scheduler: Scheduler::new(cache, limits.running_max, limits.step_tokens_max),
            sampler: Sampler::new(banned),
            scratch: Scratch::new(),
            seeds: Draws::new(entropy),
            next_id: 0,
            model,
            tokenizer,
            limits,
        })
    }

    /// Takes a request; its first event comes from a later step. `now` is time since any fixed
    /// point, the same for all calls.
    ///
    /// # Errors
    /// If the request cannot be run, or not now; the engine is as before.
    pub fn submit(&mut self, request: Request, now: Duration) -> Result<RequestId, Rejected> {
        self.check(&request)?;
        if self.running() + self.waiting() >= self.limits.running_max + self.limits.waiting_max {
            return Err(Rejected::QueueFull { limit: self.limits.waiting_max });
        }
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let seed = request.sampling.options().seed.unwrap_or_else(|| self.seeds.bits(id.0));
        let prompt_tokens = request.prompt.len();
        let wanted = request.tokens_max.unwrap_or(self.context);
        self.scheduler.push(Sequence {
            id,
            prompt_tokens,
            tokens_max: prompt_tokens.saturating_add(wanted).min(self.context),
            adapter: request.adapter,
            prefix_salt: request.prefix_salt,
            stop_tokens: request.stop_tokens,
            ignore_stop_tokens: request.ignore_stop_tokens,
            logprobs: request.logprobs,
            report: Reporting::new(request.prompt_report),
            sampler: SamplerState::new(request.sampling, seed, &request.prompt),
            transcript: Transcript::new(self.tokenizer.as_ref(), request.stop_strings),
            tokens: request.prompt,
            submitted: now,
            started: None,
            cache: SequenceCache::empty(),
            reached: 0,
            cached_tokens: 0,
        });
        Ok(id)
    }

    /// Whether [`Engine::submit`] would take the request if the queue had room.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, request: &Request) -> Result<(), Rejected> {
        let vocabulary = self.model.vocabulary();
        if request.prompt.is_empty() {
            return Err(Rejected::EmptyPrompt);
        }
        let room = usize::from(request.tokens_max != Some(0));
        if request.prompt.len() + room > self.context {
            let prompt = request.prompt.len();
            return Err(Rejected::ContextLength { prompt, context: self.context });
        }
        match (request.prompt_report, request.tokens_max) {
            (PromptReport::Nothing, Some(0)) => return Err(Rejected::NoTokens),
            (PromptReport::MeanHidden, tokens) if tokens != Some(0) => {
                return Err(Rejected::TokensBesideHidden);
            }
            (PromptReport::MeanHidden, _) if self.model.hidden_size() == 0 => {
                return Err(Rejected::NoHiddenStates);
            }
            _ => {}
        }
        let biased = request.sampling.options().logit_bias.iter().map(|&(token, _)| token);
        let mut named = request.prompt.iter().copied().chain(biased);
        if let Some(token) = named.find(|&token| token as usize >= vocabulary) {
            return Err(Rejected::TokenOutOfRange { token, vocabulary });
        }
        if let Some(AdapterId(adapter)) = request.adapter
            && adapter >= self.limits.adapters
        {
            return Err(Rejected::UnknownAdapter { adapter, adapters: self.limits.adapters });
        }
        let of_prompt = match request.prompt_report {
            PromptReport::Logprobs(top) => top,
            PromptReport::Nothing | PromptReport::MeanHidden => 0,
        };
        let asked = request.logprobs.unwrap_or(0).max(of_prompt);
        if asked > Request::LOGPROBS_MAX {
            return Err(Rejected::Logprobs { asked, limit: Request::LOGPROBS_MAX });
        }
        self.check_stop_strings(&request.stop_strings)
    }

    fn check_stop_strings(&self, stops: &[String]) -> Result<(), Rejected> {
        if stops.is_empty() {
            return Ok(());
        }
        if self.tokenizer.is_none() {
            return Err(Rejected::NoTokenizer);
        }
        let limit = self.limits.stop_strings_max;
        if stops.len() > limit {
            return Err(Rejected::StopStrings { count: stops.len(), limit });
        }
        let limit = self.limits.stop_string_bytes_max;
        match stops.iter().map(String::len).find(|&bytes| bytes == 0 || bytes > limit) {
            Some(bytes) => Err(Rejected::StopStringLength { bytes, limit }),
            None => Ok(()),
        }
    }

    /// Drops a request at once, with all it holds; it has no further events. Gives what it took so
    /// far, or `None` if it is unknown or finished already.
    pub fn cancel(&mut self, id: RequestId) -> Option<Usage> {
        self.scheduler.remove(id).map(|sequence| usage(&sequence))
    }

    /// Runs the model once for all sequences that have work and appends what came of it, in order
    /// of submission. `now` as in [`Engine::submit`], at the start of the step.
    pub fn step(&mut self, now: Duration, events: &mut Vec<Event>) -> Progress {
        self.scheduler.plan(now, |tokens| self.model.rope_regime(tokens));
        let (running, kv) = self.scheduler.step_parts();
        let spans: Vec<Span<'_>> = running.iter().filter_map(span).collect();
        if spans.is_empty() {
            return Progress::Idle;
        }
        let logits = self.model.forward(&Batch { spans: &spans }, kv, &mut self.scratch);

        let mut row = 0;
        let mut finished = Vec::new();
        let (mut prefill_tokens, mut decode_tokens) = (0, 0);
        for one in self.scheduler.running_mut() {
            let (outputs, completes) = (outputs(one), one.completes());
            let Running { sequence, planned } = one;
            if *planned == 1 && completes && sequence.generated() > 0 {
                decode_tokens += 1;
            } else {
                prefill_tokens += *planned;
            }
            let start = sequence.cache.tokens;
            sequence.reach(start + *planned);
            let Outputs::Last(count) = outputs else { continue };
            let rows = (row..row + count).map(|row| logits.row(row));
            row += count;
            report_logprobs(sequence, start, rows, events);
            if completes && !advance(sequence, logits.row(row - 1), &mut self.sampler, events) {
                finished.push(sequence.id);
            }
        }
        self.scheduler.publish();
        finished.extend(self.report_hidden(events));
        for id in finished {
            self.scheduler.remove(id);
        }
        Progress::Worked { prefill_tokens, decode_tokens }
    }

    /// Hands the hidden states of the step to those that asked for them; gives who has ended.
    fn report_hidden(&mut self, events: &mut Vec<Event>) -> Vec<RequestId> {
        let width = self.model.hidden_size();
        let mut states = self.scratch.hidden();
        let mut finished = Vec::new();
        for Running { sequence, planned } in self.scheduler.running_mut() {
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

    /// Submits a request and steps until it has ended, for callers that have no other work.
    /// `on_event` sees all events, also those of other requests in the engine; when it breaks the
    /// request is cancelled. Time stands still at 0 meanwhile.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub fn run_to_end(
        &mut self,
        request: Request,
        mut on_event: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), Rejected> {
        let now = Duration::ZERO;
        let id = self.submit(request, now)?;
        let mut events = Vec::new();
        let mut ended = false;
        while !ended && self.step(now, &mut events) != Progress::Idle {
            for event in events.drain(..) {
                ended |= matches!(event, Event::Finished { request, .. } if request == id);
                if on_event(event).is_break() && !ended {
                    self.cancel(id);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Arc<M> {
        &self.model
    }

    /// As given.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Tokens of a sequence at most, prompt and generated: the least of the limit, the model's
    /// context and what the cache holds.
    pub fn context_tokens(&self) -> usize {
        self.context
    }

    /// Requests that have a part of the cache and advance.
    pub fn running(&self) -> usize {
        self.scheduler.running().len()
    }

    /// Requests that do not.
    pub fn waiting(&self) -> usize {
        self.scheduler.waiting()
    }

    /// Blocks of the cache that no request uses. Some hold prefixes that a later request may find.
    pub fn free_blocks(&self) -> usize {
        self.scheduler.cache().free()
    }

    /// Blocks of the cache, of [`KvPool::BLOCK_TOKENS`](phial_model::KvPool::BLOCK_TOKENS) tokens
    /// each.
    pub fn total_blocks(&self) -> usize {
        self.scheduler.cache().total()
    }
}

/// The part of a running sequence in the step.
fn span(one: &Running) -> Option<Span<'_>> {
    let Running { sequence, planned } = one;
    if *planned == 0 {
        return None;
    }
    let start = sequence.cache.tokens;
    Some(Span {
        tokens: &sequence.tokens[start..start + planned],
        start,
        blocks: &sequence.cache.blocks,
        regime: sequence.cache.regime,
        adapter: sequence.adapter,
        outputs: outputs(one),
    })
}

/// What a running sequence needs of the step.
fn outputs(one: &Running) -> Outputs {
    let Running { sequence, planned } = one;
    let usual = if one.completes() { Outputs::Last(1) } else { Outputs::None };
    match sequence.report.outputs(sequence.prompt_tokens, *planned) {
        Some(outputs) if *planned > 0 => outputs,
        _ => usual,
    }
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

/// Chooses the next token of a sequence and tells of it; false if the sequence has ended.
fn advance(
    sequence: &mut Sequence,
    row: &[f32],
    sampler: &mut Sampler,
    events: &mut Vec<Event>,
) -> bool {
    if sequence.tokens.len() >= sequence.tokens_max {
        // Only the prompt was of interest.
        events.push(finish(sequence, FinishReason::Length));
        return false;
    }
    let token = sampler.sample(row, &sequence.sampler, sequence.generated() as u64);
    sequence.sampler.record(token);
    sequence.tokens.push(token);
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
    let logprobs = sequence.logprobs.map(|top| token_logprobs(row, token, top));
    events.push(Event::Token { request: sequence.id, token, text, logprobs });
    if reason.is_none() && sequence.tokens.len() >= sequence.tokens_max {
        reason = Some(FinishReason::Length);
    }
    let Some(reason) = reason else { return true };
    events.push(finish(sequence, reason));
    false
}

fn finish(sequence: &mut Sequence, reason: FinishReason) -> Event {
    let (text, reason) = match (reason, sequence.transcript.finish()) {
        // Whatever followed the stop string is not part of the text.
        (FinishReason::StopString(stop), _) => (String::new(), FinishReason::StopString(stop)),
        (_, Matched::Stop { text, stop }) => (text, FinishReason::StopString(stop)),
        (reason, Matched::Text(text)) => (text, reason),
    };
    Event::Finished { request: sequence.id, reason, text, usage: usage(sequence) }
}

fn usage(sequence: &Sequence) -> Usage {
    Usage {
        prompt_tokens: sequence.prompt_tokens,
        cached_tokens: sequence.cached_tokens,
        generated_tokens: sequence.generated(),
        queued: sequence.started.unwrap_or_default().saturating_sub(sequence.submitted),
    }
}

/// Ids that the tokenizer has no text for; ascending.
fn tokens_without_meaning(tokenizer: &Tokenizer, vocabulary: usize) -> Vec<TokenId> {
    (0..vocabulary as TokenId)
        .filter(|&token| tokenizer.token_bytes(token).is_none() && !tokenizer.is_control(token))
        .collect()
}
