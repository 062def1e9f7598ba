//! How much the engine takes on.

use phial_model::{KvLayout, KvPool};
use thiserror::Error;

/// Bounds of everything that grows with use. [`Engine::new`](crate::Engine::new) checks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of a sequence, prompt and generated together. The model's own context and the
    /// cache's size bound it too. Cost grows with length, so an operator may want less than the
    /// model can do.
    pub context_tokens_max: usize,
    /// Tokens that one step reads, of all sequences together. A long prompt is read in chunks of
    /// what the decoding sequences leave of it: larger reads prompts faster, smaller keeps the
    /// pause between two tokens of a neighbour short. More than `running_max`, so that prompts
    /// always advance.
    pub step_tokens_max: usize,
    /// Sequences that advance together in a step. Each has its part of the cache, and a step
    /// takes longer with each.
    pub running_max: usize,
    /// Requests held beyond `running_max`. More waiting only means that each waits longer:
    /// better to tell the client early.
    pub waiting_max: usize,
    /// Bytes of keys and values, of all sequences together; rounded down to whole blocks.
    /// No more is ever made than `running_max` sequences of full length can fill.
    pub kv_bytes_max: usize,
    /// Whether requests that begin with the same tokens share their keys and values, also when one
    /// comes after the other. The answers are the same either way. Kept prefixes take room that no
    /// request needs, so the cache fills up to `kv_bytes_max` with time.
    pub share_prefixes: bool,
    /// Stop strings of one request: each is searched for in each new piece of text.
    pub stop_strings_max: usize,
    /// Bytes of one stop string: as much text as this may be held back.
    pub stop_string_bytes_max: usize,
    /// Adapters that the model has loaded; ids run from 0. Requests for others are rejected.
    pub adapters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            context_tokens_max: 131_072,
            step_tokens_max: 512,
            running_max: 16,
            waiting_max: 256,
            kv_bytes_max: 4 << 30,
            share_prefixes: true,
            stop_strings_max: 16,
            stop_string_bytes_max: 256,
            adapters: 0,
        }
    }
}

impl Limits {
    /// Checks the limits against each other and gives the number of blocks and the context, in
    /// tokens, that follow from them for a model.
    pub(crate) fn resolve(
        &self,
        layout: &KvLayout,
        model_context: usize,
    ) -> Result<Capacity, InvalidLimits> {
        if self.running_max == 0 {
            return Err(InvalidLimits::NoneRunning);
        }
        if self.step_tokens_max <= self.running_max {
            return Err(InvalidLimits::StepTokens {
                step_tokens_max: self.step_tokens_max,
                running_max: self.running_max,
            });
        }
        let wanted = self.context_tokens_max.min(model_context);
        if wanted < 2 {
            return Err(InvalidLimits::Context { tokens: wanted });
        }
        let block_bytes = layout.block_bytes().max(1);
        let useful = wanted.div_ceil(KvPool::BLOCK_TOKENS).saturating_mul(self.running_max);
        let blocks = (self.kv_bytes_max / block_bytes).min(useful).min(u32::MAX as usize);
        if blocks == 0 {
            return Err(InvalidLimits::Cache { kv_bytes_max: self.kv_bytes_max, block_bytes });
        }
        // One sequence alone always fits into the cache. Preemption relies on it: the oldest
        // sequence can go on once the others have made room.
        let context = wanted.min(blocks * KvPool::BLOCK_TOKENS);
        Ok(Capacity { blocks, context })
    }
}

/// What the limits come to for one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Blocks of the pool.
    pub blocks: usize,
    /// Tokens of a sequence at most.
    pub context: usize,
}

/// Limits that no engine can work within. The display is one line for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidLimits {
    /// `running_max` is 0.
    #[error("running_max is 0; at least one sequence must run")]
    NoneRunning,
    /// Decoding sequences could take all of a step.
    #[error(
        "step_tokens_max is {step_tokens_max}; it must exceed running_max, which is {running_max}"
    )]
    StepTokens {
        /// As given.
        step_tokens_max: usize,
        /// As given.
        running_max: usize,
    },
    /// No room for a prompt and a token.
    #[error("the context is {tokens} tokens; at least 2 are needed")]
    Context {
        /// The smaller of the limit and the model's own.
        tokens: usize,
    },
    /// Not even one block.
    #[error("kv_bytes_max is {kv_bytes_max}; one block of the cache takes {block_bytes} bytes")]
    Cache {
        /// As given.
        kv_bytes_max: usize,
        /// Bytes of a block of this model.
        block_bytes: usize,
    },
}
