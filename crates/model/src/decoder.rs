//! The one decoder: a batch of spans through every layer.

use phial_kernels::attention::{AttentionSpan, BLOCK, Geometry, attention};
use phial_kernels::elementwise::{rms_norm, rotate_halves, rotate_pairs, silu_mul};
use phial_kernels::{Activations, DisjointRows};

use crate::batch::{AllowedTokens, Batch, Forward, Logits, Outputs, Regime};
use crate::config::RopePairs;
use crate::head::allowed_panels;
use crate::kv::{KvLayout, KvPool, NewPosition};
use crate::linear::{Linear, LowRank, LowRankScratch};
use crate::load::Model;
use crate::lora::LayerAdapter;
use crate::scratch::{Buffers, Scratch};

/// Rows of elementwise work per tile.
const ROWS_PER_TILE: usize = 8;

/// A span with its place in the step's rows.
struct Placed {
    row: usize,
    rows: usize,
    start: usize,
    /// Its part of `Buffers::blocks`.
    blocks: std::ops::Range<usize>,
    regime: Regime,
    adapter: Option<usize>,
}

impl Forward for Model {
    fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    fn hidden_size(&self) -> usize {
        self.config.hidden
    }

    fn context_max(&self) -> usize {
        self.config.context_max
    }

    fn rope_regime(&self, total_tokens: usize) -> Regime {
        self.config.regime(total_tokens)
    }

    fn kv_layout(&self) -> KvLayout {
        KvLayout {
            layers: self.config.layers,
            kv_heads: self.config.kv_heads,
            head_dim: self.config.head_dim,
            element: self.kv_element,
        }
    }

    fn forward<'s>(
        &self,
        batch: &Batch<'_>,
        kv: &mut KvPool,
        scratch: &'s mut Scratch,
    ) -> Logits<'s> {
        self.run(batch, None, kv, scratch)
    }

    fn forward_allowed<'s>(
        &self,
        batch: &Batch<'_>,
        allowed: &dyn AllowedTokens,
        kv: &mut KvPool,
        scratch: &'s mut Scratch,
    ) -> Logits<'s> {
        self.run(batch, Some(allowed), kv, scratch)
    }
}

/// Checks the contract of the spans and gives each its rows and blocks.
fn place(batch: &Batch<'_>, kv: &KvPool, blocks: &mut Vec<u32>) -> Vec<Placed> {
    blocks.clear();
    let mut row = 0;
    let place = |span: &crate::Span<'_>| {
        let rows = span.tokens.len();
        assert!(rows > 0, "a span without tokens");
        let needed = (span.start + rows).div_ceil(KvPool::BLOCK_TOKENS);
        assert!(span.blocks.len() >= needed, "a span without room for its tokens");
        let first = blocks.len();
        for block in &span.blocks[..needed] {
            assert!((block.0 as usize) < kv.block_count(), "a block outside the pool");
            blocks.push(block.0);
        }
        let placed = Placed {
            row,
            rows,
            start: span.start,
            blocks: first..blocks.len(),
            regime: span.regime,
            adapter: span.adapter.map(|adapter| adapter.0),
        };
        row += rows;
        placed
    };
    batch.spans.iter().map(place).collect()
}

/// The rows whose logits, and those whose hidden states, are asked for; in order.
fn wanted_rows(batch: &Batch<'_>) -> (Vec<usize>, Vec<usize>) {
    let (mut wanted, mut kept) = (Vec::new(), Vec::new());
    let mut end = 0;
    for span in batch.spans {
        end += span.tokens.len();
        match span.outputs {
            Outputs::None => {}
            Outputs::Last(count) => {
                assert!((1..=span.tokens.len()).contains(&count), "outputs beyond the span");
                wanted.extend(end - count..end);
            }
            Outputs::Hidden => kept.extend(end - span.tokens.len()..end),
        }
    }
    (wanted, kept)
}

fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

impl Model {
    fn run<'s>(
        &self,
        batch: &Batch<'_>,
        allowed: Option<&dyn AllowedTokens>,
        kv: &mut KvPool,
        scratch: &'s mut Scratch,
    ) -> Logits<'s> {
        assert_eq!(kv.layout(), self.kv_layout(), "a pool made for another model");
        let Scratch { buffers, logits, hidden } = scratch;
        let spans = place(batch, kv, &mut buffers.blocks);
        let rows = batch.spans.iter().map(|span| span.tokens.len()).sum();
        self.embed(batch, rows, &mut buffers.stream);
        self.rotations(&spans, rows, &mut buffers.rotation);
        for layer in 0..self.config.layers {
            self.attend(layer, &spans, rows, kv, buffers);
            self.transform(layer, &spans, rows, buffers);
        }
        let (wanted, kept) = wanted_rows(batch);
        self.keep_hidden(&kept, buffers, hidden);
        self.head(&wanted, allowed, buffers, logits);
        Logits { values: logits, vocabulary: self.config.vocabulary }
    }

    /// Runs `work` on every row of `values` (`[rows, width]`), several rows at a time.
    fn each_row(&self, values: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
        let run = |(tile, rows): (usize, &mut [f32])| {
            for (index, row) in rows.chunks_exact_mut(width).enumerate() {
                work(tile * ROWS_PER_TILE + index, row);
            }
        };
        let tiles = values.chunks_mut(ROWS_PER_TILE * width).enumerate();
        if tiles.len() <= 1 {
            tiles.for_each(run);
        } else {
            self.compute.pool.for_each(tiles.collect(), run);
        }
    }

    fn embed(&self, batch: &Batch<'_>, rows: usize, stream: &mut Vec<f32>) {
        let tokens: Vec<u32> = batch.spans.iter().flat_map(|span| span.tokens).copied().collect();
        let limit = self.config.vocabulary as u32;
        assert!(tokens.iter().all(|token| *token < limit), "a token outside the vocabulary");
        let hidden = self.config.hidden;
        self.each_row(sized(stream, rows * hidden), hidden, |row, out| {
            self.weights.embedding.row(tokens[row], out);
        });
    }

    fn rotations(&self, spans: &[Placed], rows: usize, rotation: &mut Vec<f32>) {
        let width = 2 * self.rotary.pairs();
        let rotation = sized(rotation, rows * width);
        for span in spans {
            let part = &mut rotation[span.row * width..][..span.rows * width];
            for (index, out) in part.chunks_exact_mut(width).enumerate() {
                self.rotary.fill(span.regime, span.start + index, out);
            }
        }
    }

    /// The first half of a layer: `stream += output(attention(qkv(norm(stream))))`.
    fn attend(
        &self,
        index: usize,
        spans: &[Placed],
        rows: usize,
        kv: &mut KvPool,
        buffers: &mut Buffers,
    ) {
        let layer = &self.weights.layers[index];
        let geometry = self.geometry();
        let width = self.config.qkv_rows();
        self.normalise(&layer.attention_norm, &layer.qkv, rows, buffers);
        let qkv = layer.qkv.apply(&self.compute, &buffers.input, &mut buffers.qkv);
        let target = (&mut *qkv, width);
        self.adapt(index, spans, &buffers.input, target, &mut buffers.low_rank, |a| &a.qkv);

        self.rotate(qkv, &buffers.rotation);
        let (query, key) =
            (geometry.heads * geometry.head_dim, geometry.kv_heads * geometry.head_dim);
        let mut positions = Vec::with_capacity(rows);
        for span in spans {
            let blocks = &buffers.blocks[span.blocks.clone()];
            for row in 0..span.rows {
                let row_values = &qkv[(span.row + row) * width..][..width];
                let (key, value) = row_values[query..].split_at(key);
                let position = span.start + row;
                let (block, offset) = (blocks[position / BLOCK], position % BLOCK);
                positions.push(NewPosition { block, offset, key, value });
            }
        }
        kv.store(&self.compute, (index, &geometry), positions);
        let attended = sized(&mut buffers.attended, rows * query);
        let tasks: Vec<_> = spans
            .iter()
            .map(|span| AttentionSpan {
                row: span.row,
                rows: span.rows,
                start: span.start,
                blocks: &buffers.blocks[span.blocks.clone()],
            })
            .collect();
        let (pool, tier) = (&self.compute.pool, self.compute.tier);
        let out = DisjointRows::new(attended, query);
        attention(pool, tier, &geometry, &tasks, (qkv, width), kv.layer(index), out);

        let copy =
            |row: usize, out: &mut [f32]| out.copy_from_slice(&attended[row * query..][..query]);
        buffers.input.fill(pool, tier, (rows, query), layer.output.codes(), copy);
        self.project(index, &layer.output, spans, rows, buffers, |a| &a.output);
    }

    /// The second half: `stream += down(silu(gate) * up)` of `norm(stream)`.
    fn transform(&self, index: usize, spans: &[Placed], rows: usize, buffers: &mut Buffers) {
        let layer = &self.weights.layers[index];
        let wide = self.config.intermediate;
        self.normalise(&layer.mlp_norm, &layer.gate_up, rows, buffers);
        let gate_up = layer.gate_up.apply(&self.compute, &buffers.input, &mut buffers.gate_up);
        let target = (&mut *gate_up, 2 * wide);
        self.adapt(index, spans, &buffers.input, target, &mut buffers.low_rank, |a| &a.gate_up);

        let (pool, tier) = (&self.compute.pool, self.compute.tier);
        let gate_up = &*gate_up;
        let activate = |row: usize, out: &mut [f32]| {
            let (gate, up) = gate_up[row * 2 * wide..][..2 * wide].split_at(wide);
            silu_mul(tier, gate, up, out);
        };
        buffers.input.fill(pool, tier, (rows, wide), layer.down.codes(), activate);
        self.project(index, &layer.down, spans, rows, buffers, |a| &a.down);
    }

    /// `input = norm(stream)`, in the form that `reader` reads.
    fn normalise(&self, weight: &[f32], reader: &Linear, rows: usize, buffers: &mut Buffers) {
        let (hidden, tier) = (self.config.hidden, self.compute.tier);
        let stream = &buffers.stream;
        let norm = |row: usize, out: &mut [f32]| {
            let x = &stream[row * hidden..][..hidden];
            rms_norm(tier, x, weight, self.config.norm_epsilon, out);
        };
        buffers.input.fill(&self.compute.pool, tier, (rows, hidden), reader.codes(), norm);
    }

    /// `stream += linear(input)`.
    fn project(
        &self,
        index: usize,
        linear: &Linear,
        spans: &[Placed],
        rows: usize,
        buffers: &mut Buffers,
        of: impl Fn(&LayerAdapter) -> &[LowRank],
    ) {
        let hidden = self.config.hidden;
        let added = linear.apply(&self.compute, &buffers.input, &mut buffers.added);
        self.adapt(index, spans, &buffers.input, (added, hidden), &mut buffers.low_rank, of);
        let added = &buffers.added;
        self.each_row(&mut buffers.stream[..rows * hidden], hidden, |row, out| {
            for (out, value) in out.iter_mut().zip(&added[row * hidden..][..hidden]) {
                *out += value;
            }
        });
    }

    /// Adds each span's adapter to the outputs of a linear layer.
    fn adapt(
        &self,
        index: usize,
        spans: &[Placed],
        input: &Activations,
        (out, stride): (&mut [f32], usize),
        scratch: &mut LowRankScratch,
        of: impl Fn(&LayerAdapter) -> &[LowRank],
    ) {
        for span in spans {
            let Some(adapter) = span.adapter else { continue };
            let rows = span.row..span.row + span.rows;
            for low_rank in of(&self.adapters[adapter].layers[index]) {
                let target = (&mut *out, stride);
                low_rank.add(&self.compute, input, rows.clone(), target, scratch);
            }
        }
    }

    /// Rotates queries and keys of every row in place.
    fn rotate(&self, qkv: &mut [f32], rotation: &[f32]) {
        let (dim, width) = (self.config.head_dim, self.config.qkv_rows());
        let rotated = (self.config.heads + self.config.kv_heads) * dim;
        let pairs = self.rotary.pairs();
        let rotate = match self.config.rope.pairs {
            RopePairs::Halves => rotate_halves,
            RopePairs::Neighbours => rotate_pairs,
        };
        self.each_row(qkv, width, |row, values| {
            let (cos, sin) = rotation[row * 2 * pairs..][..2 * pairs].split_at(pairs);
            for head in values[..rotated].chunks_exact_mut(dim) {
                rotate(head, cos, sin);
            }
        });
    }

    /// The final hidden states of the rows `kept`.
    fn keep_hidden(&self, kept: &[usize], buffers: &Buffers, out: &mut Vec<f32>) {
        let (width, tier) = (self.config.hidden, self.compute.tier);
        out.resize(kept.len() * width, 0.0);
        self.each_row(out, width, |row, out| {
            let x = &buffers.stream[kept[row] * width..][..width];
            rms_norm(tier, x, &self.weights.norm, self.config.norm_epsilon, out);
        });
    }

    /// Logits of the rows `wanted`, of allowed tokens at least.
    fn head(
        &self,
        wanted: &[usize],
        allowed: Option<&dyn AllowedTokens>,
        buffers: &mut Buffers,
        logits: &mut Vec<f32>,
    ) {
        let (hidden, tier) = (self.config.hidden, self.compute.tier);
        let head = &self.weights.head;
        if wanted.is_empty() {
            logits.clear();
            return;
        }
        let stream = &buffers.stream;
        let norm = |row: usize, out: &mut [f32]| {
            let x = &stream[wanted[row] * hidden..][..hidden];
            rms_norm(tier, x, &self.weights.norm, self.config.norm_epsilon, out);
        };
        let shape = (wanted.len(), hidden);
        buffers.input.fill(&self.compute.pool, tier, shape, head.codes(), norm);
        match allowed.and_then(|allowed| allowed_panels(allowed, self.config.vocabulary)) {
            None => head.apply(&self.compute, &buffers.input, logits),
            Some(panels) => head.apply_panels(&self.compute, &buffers.input, &panels, logits),
        };
        logits.truncate(wanted.len() * self.config.vocabulary);
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            heads: self.config.heads,
            kv_heads: self.config.kv_heads,
            head_dim: self.config.head_dim,
            element: self.kv_element,
            scale: (self.config.head_dim as f32).powf(-0.5),
        }
    }
}
