//! Working memory of a step.

use phial_kernels::Activations;

use crate::linear::LowRankScratch;

/// Working memory of a step, kept between steps so that none allocates once warm.
#[derive(Default)]
pub struct Scratch {
    pub(crate) buffers: Buffers,
    pub(crate) logits: Vec<f32>,
    pub(crate) hidden: Vec<f32>,
}

impl Scratch {
    /// Empty; grows with use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for `rows * vocabulary` logits (for implementors of [`Forward`](crate::Forward)).
    pub fn logits_mut(&mut self, rows: usize, vocabulary: usize) -> &mut [f32] {
        self.logits.resize(rows * vocabulary, 0.0);
        &mut self.logits
    }

    /// Hidden states that the last step was asked for, row-major `[positions, hidden_size]`, in
    /// the order of the spans.
    pub fn hidden(&self) -> &[f32] {
        &self.hidden
    }

    /// Room for `count` values of hidden states (for implementors of
    /// [`Forward`](crate::Forward)).
    pub fn hidden_mut(&mut self, count: usize) -> &mut [f32] {
        self.hidden.resize(count, 0.0);
        &mut self.hidden
    }
}

/// Buffers of a step, reused by the next.
#[derive(Default)]
pub(crate) struct Buffers {
    /// The residual stream, `[rows, hidden]`.
    pub(crate) stream: Vec<f32>,
    /// `[rows, (heads + 2 kv_heads) * head_dim]`
    pub(crate) qkv: Vec<f32>,
    /// `[rows, heads * head_dim]`
    pub(crate) attended: Vec<f32>,
    /// `[rows, hidden]`: what a layer's half adds to the stream.
    pub(crate) added: Vec<f32>,
    /// `[rows, 2 * intermediate]`
    pub(crate) gate_up: Vec<f32>,
    /// `[rows, 2, rotary pairs]`: cosines, then sines.
    pub(crate) rotation: Vec<f32>,
    /// The spans' blocks, one after another.
    pub(crate) blocks: Vec<u32>,
    pub(crate) input: Activations,
    pub(crate) low_rank: LowRankScratch,
}
