//! The engine, driven by a model whose logits betray every mistake of the scheduler.

mod crossing;
mod fake;
mod lifecycle;
mod prompts;
mod real;
mod scheduling;
mod sharing;
mod text;
