//! What a request took, as far as its answer tells.

use phial_openai::metering::{Meter, TokenCounts};
use phial_openai::{RelayedPart, RequestBounds, Usage};

use super::settings::{ChannelSettings, WithoutUsage};
use crate::upstream::Demand;

/// What of a route is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteKind {
    /// Prompt and answer.
    Generates,
    /// The prompt.
    Embeds,
    /// Nothing.
    Counts,
}

impl RouteKind {
    /// The kind of a route that other servers have too; all else is for the local engine alone.
    pub fn of(route: &str) -> Option<Self> {
        match route {
            "/v1/chat/completions" | "/v1/completions" | "/v1/responses" | "/v1/messages" => {
                Some(Self::Generates)
            }
            "/v1/embeddings" => Some(Self::Embeds),
            "/v1/messages/count_tokens" | "/tokenize" | "/detokenize" | "/apply-template" => {
                Some(Self::Counts)
            }
            _ => None,
        }
    }
}

/// The most that a request can take on a channel.
pub(super) fn demand(bounds: RequestBounds, kind: RouteKind, context_tokens: u64) -> Demand {
    let prompt = bounds.prompt_tokens.map_or(context_tokens, |n| n as u64).min(context_tokens);
    let longest = bounds.completion_tokens.map_or(context_tokens, |n| n as u64);
    let completion = longest.min(context_tokens).saturating_mul(bounds.choices as u64);
    match kind {
        RouteKind::Generates => Demand { prompt_tokens: prompt, completion_tokens_max: completion },
        RouteKind::Embeds => Demand { prompt_tokens: prompt, completion_tokens_max: 0 },
        RouteKind::Counts => Demand::default(),
    }
}

/// No tokenizer has a token of more bytes; a usage that says otherwise is not believed.
const TOKEN_BYTES_MAX: u64 = 512;

/// Counts one request on one channel, and tells the meter when it is dropped: at the end, or when
/// the client has gone. An attempt that another channel takes over is forgotten instead.
#[derive(Debug)]
pub(super) struct Tally {
    meter: Option<Meter>,
    channel: String,
    demand: Demand,
    context_tokens: u64,
    policy: WithoutUsage,
    told: Option<TokenCounts>,
    /// Bytes of text that came, all and after the usage was told last.
    text_bytes: u64,
    untold_bytes: u64,
    /// Whether what was generated could be seen at all.
    is_visible: bool,
}

impl Tally {
    pub fn new(meter: Meter, settings: &ChannelSettings, demand: Demand) -> Self {
        Self {
            meter: Some(meter),
            channel: settings.name.clone(),
            demand,
            context_tokens: settings.context_tokens,
            policy: settings.without_usage,
            told: None,
            text_bytes: 0,
            untold_bytes: 0,
            is_visible: false,
        }
    }

    /// The attempt came to nothing that anybody pays for.
    pub fn forget(mut self) {
        self.meter = None;
    }

    /// From here on, all that is generated is seen.
    pub fn is_seen(&mut self) {
        self.is_visible = true;
    }

    /// Counts a part of the answer, before the client can see it.
    pub fn count(&mut self, part: &RelayedPart) {
        self.text_bytes += part.text_bytes as u64;
        self.untold_bytes += part.text_bytes as u64;
        let Some(usage) = part.usage else { return };
        let Some(counts) = self.believable(usage) else { return };
        self.told = Some(self.told.unwrap_or_default().max(counts));
        self.untold_bytes = 0;
        self.report();
    }

    /// A usage that can be true: other servers' numbers are not ours, and they are what is paid.
    fn believable(&self, usage: Usage) -> Option<TokenCounts> {
        let counts = TokenCounts {
            prompt_tokens: usage.prompt_tokens as u64,
            cached_tokens: usage.prompt_tokens_details.cached_tokens as u64,
            completion_tokens: usage.completion_tokens as u64,
        };
        let generates = self.demand.completion_tokens_max > 0;
        // The event that ends a message tells what was generated alone.
        let prompt = counts.prompt_tokens.max(self.told.map_or(0, |told| told.prompt_tokens));
        let is_possible = (1..=self.context_tokens).contains(&prompt)
            && counts.completion_tokens <= self.demand.completion_tokens_max
            && (!generates
                || counts.completion_tokens.saturating_mul(TOKEN_BYTES_MAX) >= self.text_bytes);
        if !is_possible {
            tracing::warn!(channel = self.channel, ?counts, "tells a usage that cannot be true");
        }
        is_possible.then_some(counts)
    }

    /// The counts if it ended here.
    fn counts(&self) -> TokenCounts {
        let most = self.demand.completion_tokens_max;
        let per_token = match self.policy {
            WithoutUsage::Reserved => None,
            WithoutUsage::BytesPerToken(bytes) => Some(bytes.get()),
        };
        let told = self.told.unwrap_or_default();
        let prompt = match (self.told, per_token) {
            (Some(told), _) => told.prompt_tokens,
            (None, None) => self.demand.prompt_tokens,
            (None, Some(bytes)) => self.demand.prompt_tokens.div_ceil(bytes),
        };
        let completion = match per_token {
            _ if self.told.is_some() && self.untold_bytes == 0 && self.is_visible => {
                told.completion_tokens
            }
            Some(bytes) if self.is_visible => {
                told.completion_tokens.saturating_add(self.untold_bytes.div_ceil(bytes)).min(most)
            }
            _ => most,
        };
        TokenCounts {
            prompt_tokens: prompt,
            cached_tokens: told.cached_tokens,
            completion_tokens: completion,
        }
    }

    fn is_exact(&self) -> bool {
        self.told.is_some() && self.untold_bytes == 0 && self.is_visible
            || self.demand == Demand::default()
    }

    fn report(&self) {
        if let (Some(meter), Some(told)) = (&self.meter, self.told) {
            meter.report(told);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Some(meter) = self.meter.take() else { return };
        let counts = self.counts();
        if !self.is_exact() {
            let policy = self.policy;
            let channel = &self.channel;
            tracing::warn!(
                channel,
                ?policy,
                ?counts,
                "usage is not told and counted by the policy"
            );
        }
        meter.finish(counts);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::{Arc, Mutex};

    use phial_openai::metering::UsageSink;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<TokenCounts>>);

    impl UsageSink for Heard {
        fn report(&self, counts: TokenCounts) {
            self.0.lock().unwrap().push(counts);
        }
    }

    const DEMAND: Demand = Demand { prompt_tokens: 100, completion_tokens_max: 50 };

    fn told(policy: WithoutUsage, use_it: impl FnOnce(&mut Tally)) -> (u64, u64) {
        let sink = Arc::new(Heard::default());
        let mut settings = ChannelSettings::openai(1, "x", "http://h", vec!["m".into()]);
        settings.without_usage = policy;
        let mut tally = Tally::new(Meter::new(sink.clone()), &settings, DEMAND);
        use_it(&mut tally);
        drop(tally);
        let last = *sink.0.lock().unwrap().last().unwrap();
        (last.prompt_tokens, last.completion_tokens)
    }

    fn text(bytes: usize) -> RelayedPart {
        RelayedPart { text_bytes: bytes, ..Default::default() }
    }

    fn usage(prompt: usize, completion: usize) -> RelayedPart {
        RelayedPart { usage: Some(Usage::new(prompt, completion)), ..Default::default() }
    }

    const BYTES: WithoutUsage = WithoutUsage::BytesPerToken(NonZeroU64::new(4).unwrap());

    #[test]
    fn what_is_told_counts() {
        let counts = told(BYTES, |tally| {
            tally.is_seen();
            tally.count(&text(40));
            tally.count(&usage(9, 8));
        });
        assert_eq!(counts, (9, 8));
    }

    #[test]
    fn what_came_after_the_last_usage_is_counted_by_the_policy() {
        let cut = |tally: &mut Tally| {
            tally.is_seen();
            tally.count(&usage(9, 1));
            tally.count(&text(41));
        };
        assert_eq!(told(BYTES, cut), (9, 1 + 11));
        assert_eq!(told(WithoutUsage::Reserved, cut), (9, 50));
    }

    #[test]
    fn a_silent_upstream_is_counted_by_the_policy() {
        let silent = |tally: &mut Tally| {
            tally.is_seen();
            tally.count(&text(10));
        };
        assert_eq!(told(BYTES, silent), (25, 3));
        assert_eq!(told(WithoutUsage::default(), silent), (100, 10));
        assert_eq!(told(WithoutUsage::Reserved, silent), (100, 50));
        assert_eq!(told(BYTES, Tally::is_seen), (25, 0));
    }

    #[test]
    fn an_answer_that_was_never_seen_counts_as_reserved() {
        assert_eq!(told(BYTES, |_| {}), (25, 50));
    }

    #[test]
    fn a_usage_that_cannot_be_true_is_as_good_as_none() {
        for lie in [usage(0, 3), usage(9, 0), usage(9, 51), usage(200_000, 3), usage(1 << 40, 3)] {
            let counts = told(BYTES, |tally| {
                tally.is_seen();
                tally.count(&text(8));
                tally.count(&lie);
            });
            assert_eq!(counts, (25, 2), "{lie:?}");
        }
    }

    #[test]
    fn a_forgotten_attempt_tells_nothing() {
        let sink = Arc::new(Heard::default());
        let settings = ChannelSettings::openai(1, "x", "http://h", vec!["m".into()]);
        Tally::new(Meter::new(sink.clone()), &settings, DEMAND).forget();
        assert!(sink.0.lock().unwrap().is_empty());
        assert_eq!(Arc::strong_count(&sink), 1);
    }

    #[test]
    fn demands_are_within_the_context() {
        let bounds = |prompt_tokens, completion_tokens, choices| RequestBounds {
            prompt_tokens,
            completion_tokens,
            choices,
        };
        let of = |bounds, kind| {
            let demand = demand(bounds, kind, 1000);
            (demand.prompt_tokens, demand.completion_tokens_max)
        };
        assert_eq!(of(bounds(Some(300), Some(7), 3), RouteKind::Generates), (300, 21));
        assert_eq!(of(bounds(None, None, 1), RouteKind::Generates), (1000, 1000));
        assert_eq!(of(bounds(Some(5000), Some(5000), 1), RouteKind::Generates), (1000, 1000));
        let absurd = bounds(Some(usize::MAX), Some(usize::MAX), usize::MAX);
        assert_eq!(of(absurd, RouteKind::Generates), (1000, u64::MAX));
        assert_eq!(of(bounds(Some(300), None, 1), RouteKind::Embeds), (300, 0));
        assert_eq!(of(bounds(Some(300), None, 1), RouteKind::Counts), (0, 0));
    }
}
