//! Requests, scheduling and sampling.
//!
//! **Owns:** [`Request`], [`Event`], the sequence, its block table, the scheduler, the sampler and
//! [`Limits`]. Token ids go in, token events come out of a synchronous [`Engine::step`], which is
//! deterministic: time and randomness are arguments. **Does not know:** HTTP, the wire format of
//! any API, threads, files, clocks, what a weight is.
//!
//! **Start at** [`Engine`], then `scheduler` (who runs in a step), `paged_cache` (what requests
//! share) and `sampler` (which token comes next).

mod blocks;
mod engine;
mod event;
mod limits;
mod logprobs;
mod paged_cache;
mod prefix;
mod prompt_report;
mod random;
mod request;
mod sampler;
mod sampling;
mod scheduler;
mod sequence;
mod stop_strings;
mod transcript;

pub use engine::Engine;
pub use event::{Event, FinishReason, Progress, TokenLogprob, TokenLogprobs, Usage};
pub use limits::{InvalidLimits, Limits};
pub use phial_model::{AdapterId, TokenId};
pub use prompt_report::PromptReport;
pub use request::{Rejected, Request, RequestId};
pub use sampling::{InvalidSampling, Sampling, SamplingOptions};
