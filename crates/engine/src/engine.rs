//! The engine: requests in, steps, events out.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use phial_model::{AdapterId, Forward, Scratch, TokenId};
use phial_text::Tokenizer;

use crate::advance::usage;
use crate::constraint::Constraint;
use crate::drafter::Drafter;
use crate::event::{Event, Progress, Usage};
use crate::limits::{InvalidLimits, Limits};
use crate::paged_cache::PagedCache;
use crate::prompt_report::Reporting;
use crate::random::Draws;
use crate::request::{PromptReport, Rejected, Request, RequestId};
use crate::sampler::{Sampler, SamplerState};
use crate::scheduler::Scheduler;
use crate::sequence::{Sequence, SequenceCache};
use crate::store::PrefixStore;
use crate::transcript::Transcript;

/// Runs requests on a model, many at once.
///
/// Synchronous: nothing happens outside of [`Engine::step`]. Deterministic: the same calls with
/// the same arguments give the same events.
pub struct Engine<M: Forward + ?Sized> {
    pub(crate) model: Arc<M>,
    tokenizer: Option<Arc<Tokenizer>>,
    limits: Limits,
    /// Tokens of a sequence at most.
    context: usize,
    pub(crate) scheduler: Scheduler,
    pub(crate) sampler: Sampler,
    pub(crate) scratch: Scratch,
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
            scheduler: Scheduler::new(cache, &limits),
            sampler: Sampler::new(banned),
            scratch: Scratch::new(),
            seeds: Draws::new(entropy),
            next_id: 0,
            model,
            tokenizer,
            limits,
        })
    }

    /// Keeps the beginnings of prompts in `store`, too, and takes them from there.
    #[must_use]
    pub fn with_prefix_store(mut self, store: Box<dyn PrefixStore>) -> Self {
        self.scheduler.set_store(store);
        self
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
        let guesses = self.limits.draft_tokens_max > 0;
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
            constraint: request.constraint.as_ref().map(Constraint::new),
            tokens: request.prompt,
            submitted: now,
            started: None,
            cache: SequenceCache::empty(),
            reached: 0,
            cached_tokens: 0,
            awaits_store: false,
            drafter: (guesses && request.constraint.is_none())
                .then(|| Drafter::new(request.prediction)),
            accepted_prediction_tokens: 0,
            rejected_prediction_tokens: 0,
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
        let predicted = request.prediction.iter().copied();
        let mut named = request.prompt.iter().copied().chain(biased).chain(predicted);
        if let Some(token) = named.find(|&token| token as usize >= vocabulary) {
            return Err(Rejected::TokenOutOfRange { token, vocabulary });
        }
        if let Some(grammar) = &request.constraint
            && grammar.vocabulary_size() > vocabulary
        {
            let token = u32::try_from(grammar.vocabulary_size() - 1).unwrap_or(u32::MAX);
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

    /// Whether a request has had no part in any step yet. False for those that are unknown.
    pub fn is_waiting(&self, id: RequestId) -> bool {
        self.scheduler.is_waiting(id)
    }

    /// What a request has taken so far; `None` for those that are unknown, or done.
    pub fn usage(&self, id: RequestId) -> Option<Usage> {
        self.scheduler.find(id).map(usage)
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

/// Ids that the tokenizer has no text for; ascending.
fn tokens_without_meaning(tokenizer: &Tokenizer, vocabulary: usize) -> Vec<TokenId> {
    (0..vocabulary as TokenId)
        .filter(|&token| tokenizer.token_bytes(token).is_none() && !tokenizer.is_control(token))
        .collect()
}
