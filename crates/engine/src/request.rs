//! What goes into the engine, and why it may be turned away.

use phial_grammar::Grammar;
use phial_model::{AdapterId, TokenId};
use thiserror::Error;

use crate::sampling::Sampling;

/// Names a request for the life of an engine. Ids grow in the order of submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What a request wants to know of its prompt. Anything but [`PromptReport::Nothing`] needs every
/// token of the prompt to be read by the model, for this request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptReport {
    /// Only what follows it.
    #[default]
    Nothing,
    /// The log-probability of each token but the first, and the `n` most probable at its place,
    /// `0..=20`: [`Event::PromptLogprobs`](crate::Event::PromptLogprobs).
    Logprobs(usize),
    /// The mean over all tokens of the model's final hidden state:
    /// [`Event::PromptHidden`](crate::Event::PromptHidden). Nothing is generated;
    /// [`Request::tokens_max`](crate::Request::tokens_max) says so with `Some(0)`.
    MeanHidden,
}

/// Tokens to continue, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// Never empty; every id is in the model's vocabulary.
    pub prompt: Vec<TokenId>,
    /// Most tokens to generate, at least 1, or 0 with a [`Request::prompt_report`]; `None`: up to
    /// the end of the context, which bounds every request.
    pub tokens_max: Option<usize>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Tokens that end the request. Ids outside of the vocabulary are harmless.
    pub stop_tokens: Vec<TokenId>,
    /// Strings that end the request when they appear in its text, however tokens divide it. The
    /// one that is complete first ends it; of two complete with the same character, the longer.
    pub stop_strings: Vec<String>,
    /// Go on after a stop token (for measurements); its text is left out.
    pub ignore_stop_tokens: bool,
    /// `Some(n)`: report the log-probability of each generated token and of the `n` most probable
    /// ones, `0..=20`.
    pub logprobs: Option<usize>,
    /// What to report of the prompt.
    pub prompt_report: PromptReport,
    /// What the answer is expected to be like, at least in parts; empty: nothing is expected. It
    /// makes an answer faster, never another.
    pub prediction: Vec<TokenId>,
    /// Adapter for the whole sequence.
    pub adapter: Option<AdapterId>,
    /// Requests share the cached beginnings of their prompts only with those of the same salt. For
    /// what the tokens do not say, as the hash of media that some of them stand for, and for users
    /// who must not learn from timing what others have sent.
    pub prefix_salt: Option<[u8; 32]>,
    /// What the text must follow. Only allowed tokens are chosen, a stop token only where the text
    /// may end; tokens without an alternative are taken without the model. The request ends when
    /// nothing can follow.
    pub constraint: Option<Grammar>,
}

impl Request {
    /// The most alternatives that [`Request::logprobs`] may ask for.
    pub const LOGPROBS_MAX: usize = 20;

    /// Continues `prompt` greedily up to the end of the context.
    pub fn new(prompt: Vec<TokenId>) -> Self {
        Self {
            prompt,
            tokens_max: None,
            sampling: Sampling::greedy(),
            stop_tokens: Vec::new(),
            stop_strings: Vec::new(),
            ignore_stop_tokens: false,
            logprobs: None,
            prompt_report: PromptReport::Nothing,
            prediction: Vec::new(),
            adapter: None,
            prefix_salt: None,
            constraint: None,
        }
    }
}

/// Why a request was not taken. The display is one line for the person who sent it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejected {
    /// There is nothing to continue.
    #[error("the prompt is empty; it needs at least one token")]
    EmptyPrompt,
    /// The prompt leaves no room for a single token.
    #[error(
        "the prompt has {prompt} tokens; with at least one token to generate that exceeds the \
         context of {context} tokens"
    )]
    ContextLength {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of a sequence at most ([`Engine::context_tokens`](crate::Engine::context_tokens)).
        context: usize,
    },
    /// Too many requests are waiting; worth trying again later.
    #[error("{limit} requests are waiting already; try again later")]
    QueueFull {
        /// [`Limits::waiting_max`](crate::Limits::waiting_max).
        limit: usize,
    },
    /// A token of the prompt, the prediction or the logit bias does not exist.
    #[error("token {token} is outside of the vocabulary of {vocabulary} tokens")]
    TokenOutOfRange {
        /// The token.
        token: TokenId,
        /// Ids are below this.
        vocabulary: usize,
    },
    /// The model has no such adapter.
    #[error("adapter {adapter} is not loaded; there are {adapters}")]
    UnknownAdapter {
        /// The adapter asked for.
        adapter: usize,
        /// Ids are below this.
        adapters: usize,
    },
    /// Zero tokens were asked for.
    #[error("tokens_max is 0; at least one token must be asked for")]
    NoTokens,
    /// Tokens were asked for beside hidden states.
    #[error("hidden states come without generated tokens; tokens_max must be 0")]
    TokensBesideHidden,
    /// The model gives no hidden states.
    #[error("this model gives no hidden states")]
    NoHiddenStates,
    /// More alternatives than are reported.
    #[error("{asked} log-probabilities per token were asked for; at most {limit} are reported")]
    Logprobs {
        /// The number asked for.
        asked: usize,
        /// [`Request::LOGPROBS_MAX`].
        limit: usize,
    },
    /// Too many stop strings.
    #[error("{count} stop strings were given; at most {limit} are taken")]
    StopStrings {
        /// The number given.
        count: usize,
        /// [`Limits::stop_strings_max`](crate::Limits::stop_strings_max).
        limit: usize,
    },
    /// A stop string is empty or too long.
    #[error("a stop string has {bytes} bytes; 1 to {limit} are taken")]
    StopStringLength {
        /// Its length.
        bytes: usize,
        /// [`Limits::stop_string_bytes_max`](crate::Limits::stop_string_bytes_max).
        limit: usize,
    },
    /// Stop strings need text, and the engine was made without a tokenizer.
    #[error("stop strings need a tokenizer, and this model was loaded without one")]
    NoTokenizer,
}
