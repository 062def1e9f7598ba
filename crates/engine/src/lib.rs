//! Requests, scheduling and sampling.
//!
//! **Owns:** [`Request`], [`Event`], the sequence, its block table, the scheduler, the sampler and
//! [`Limits`]. Token ids go in, token events come out of a synchronous [`Engine::step`], which is
//! deterministic: time and randomness are arguments. A [`PrefixStore`] may keep what outlives it.
//! Constraints are followed on a thread beside the model, within the step. **Does not know:** HTTP,
//! the wire format of any API, files, clocks, what a weight is.
//!
//! **Start at** [`Engine`], then `scheduler` (who runs in a step), `paged_cache` (what requests
//! share) and `sampler` (which token comes next).

mod advance;
mod blocks;
mod constraint;
mod drafter;
mod durable;
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
mod step;
mod step_cost;
mod stop_strings;
mod store;
mod transcript;

pub use engine::Engine;
pub use event::{Event, FinishReason, Progress, TokenLogprob, TokenLogprobs, Usage};
pub use limits::{InvalidLimits, Limits};
pub use phial_model::{AdapterId, TokenId};

pub use request::{PromptReport, Rejected, Request, RequestId};
pub use sampling::{InvalidSampling, Sampling, SamplingOptions};
pub use store::{Before, BlockName, PrefixStore};
