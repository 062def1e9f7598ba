//! A linear layer: one or several packed matrices side by side, in any encoding, and low-rank
//! additions.

use std::ops::Range;
use std::sync::Arc;

use phial_kernels::matmul::{Product, matmul, matmul_panels};
use phial_kernels::{Activations, Codes, DisjointRows, PackedMatrix, Pool, Tier, elementwise};
use phial_tensor::{DType, Tensor};

use crate::packs::Packs;

/// What the kernels need to run.
#[derive(Clone)]
pub struct Compute {
    /// The threads.
    pub pool: Arc<Pool>,
    /// The instructions.
    pub tier: Tier,
}

/// `y = W x` without bias. `W` may be stored fused or in parts (query, key and value; gate and
/// up), each with its own encoding: the outputs stand side by side in either case.
pub struct Linear {
    parts: Vec<(PackedMatrix, usize)>,
    rows: usize,
    columns: usize,
    codes: Codes,
}

/// How weights and the activations before them are turned into numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// Weights are decoded to f32.
    Exact,
    /// Quantised weights are multiplied with 16-bit activations.
    Fine,
    /// Quantised weights are multiplied with 8-bit activations.
    Fast,
}

impl Linear {
    /// Packs `tensors`, whose outputs follow one another, or takes what `packs` keeps of them under
    /// their names.
    pub(crate) fn pack(
        tensors: &[(&str, Tensor)],
        arithmetic: Arithmetic,
        packs: &mut Packs,
        compute: &Compute,
    ) -> Self {
        let exact = arithmetic == Arithmetic::Exact;
        let mut parts = Vec::new();
        let mut rows = 0;
        for (name, tensor) in tensors {
            let count = tensor.rows();
            let decoded = (exact && tensor.dtype != DType::F32).then(|| decode(tensor));
            let source = decoded.as_ref().unwrap_or(tensor);
            parts.push((packs.matrix(name, source, &compute.pool), rows));
            rows += count;
        }
        let columns = tensors.first().map_or(0, |(_, tensor)| tensor.columns());
        let quantized =
            parts.iter().any(|(matrix, _): &(PackedMatrix, usize)| matrix.form().quantized());
        let codes = match arithmetic {
            _ if !quantized => Codes::None,
            Arithmetic::Fine => Codes::Sixteen,
            _ => Codes::Eight,
        };
        Self { parts, rows, columns, codes }
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Memory of the packed weights, in bytes.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|(matrix, _)| matrix.bytes()).sum()
    }

    /// What of them is in a mapped file, in bytes.
    pub fn mapped_bytes(&self) -> usize {
        let mapped = self.parts.iter().filter(|(matrix, _)| matrix.is_shared());
        mapped.map(|(matrix, _)| matrix.bytes()).sum()
    }

    /// What it reads of its input besides the values.
    pub fn codes(&self) -> Codes {
        self.codes
    }

    /// `out[row] = W input[row]` for every row; `out` becomes `[rows of input, self.rows()]`.
    pub(crate) fn apply<'o>(
        &self,
        compute: &Compute,
        input: &Activations,
        out: &'o mut Vec<f32>,
    ) -> &'o mut [f32] {
        let len = input.rows() * self.rows;
        if out.len() < len {
            out.resize(len, 0.0);
        }
        let out = &mut out[..len];
        let products: Vec<_> = self
            .parts
            .iter()
            .map(|(weights, column)| Product { weights, column: *column })
            .collect();
        matmul(&compute.pool, compute.tier, &products, input, DisjointRows::new(out, self.rows));
        out
    }

    /// Like [`Self::apply`], for some panels of the outputs, each of 16 rows; all other
    /// outputs are `-inf`. A layer in several parts is computed as a whole.
    pub(crate) fn apply_panels<'o>(
        &self,
        compute: &Compute,
        input: &Activations,
        panels: &[Range<usize>],
        out: &'o mut Vec<f32>,
    ) -> &'o mut [f32] {
        let [(weights, column)] = &self.parts[..] else { return self.apply(compute, input, out) };
        out.clear();
        out.resize(input.rows() * self.rows, f32::NEG_INFINITY);
        let product = Product { weights, column: *column };
        let rows = DisjointRows::new(out, self.rows);
        matmul_panels(&compute.pool, compute.tier, product, panels, input, rows);
        out
    }
}

fn decode(tensor: &Tensor) -> Tensor {
    let bytes: Vec<u8> = tensor.to_f32().into_iter().flat_map(f32::to_le_bytes).collect();
    Tensor { dtype: DType::F32, shape: tensor.shape.clone(), bytes: bytes.into() }
}

/// A low-rank addition to some outputs of a [`Linear`]: `y += scale * B (A x)` (arXiv 2106.09685).
pub(crate) struct LowRank {
    pub(crate) down: Linear,
    pub(crate) up: Linear,
    pub(crate) scale: f32,
    /// The first output that it adds to.
    pub(crate) column: usize,
}

/// Buffers of [`LowRank::add`].
#[derive(Default)]
pub(crate) struct LowRankScratch {
    input: Activations,
    middle: Activations,
    down: Vec<f32>,
    up: Vec<f32>,
}

impl LowRank {
    /// Adds to rows `rows` of `out` (`[_, stride]`), from the same rows of `input`.
    pub(crate) fn add(
        &self,
        compute: &Compute,
        input: &Activations,
        rows: Range<usize>,
        (out, stride): (&mut [f32], usize),
        scratch: &mut LowRankScratch,
    ) {
        let (count, columns) = (rows.len(), input.columns());
        let values = &input.values()[rows.start * columns..rows.end * columns];
        let copy =
            |row: usize, to: &mut [f32]| to.copy_from_slice(&values[row * columns..][..columns]);
        scratch.input.fill(&compute.pool, compute.tier, (count, columns), Codes::None, copy);
        let rank = self.down.rows();
        let down = &*self.down.apply(compute, &scratch.input, &mut scratch.down);
        let copy = |row: usize, to: &mut [f32]| to.copy_from_slice(&down[row * rank..][..rank]);
        scratch.middle.fill(&compute.pool, compute.tier, (count, rank), Codes::None, copy);
        let width = self.up.rows();
        let up = self.up.apply(compute, &scratch.middle, &mut scratch.up);
        for (row, up) in rows.zip(up.chunks_exact(width)) {
            let out = &mut out[row * stride + self.column..][..width];
            elementwise::add_scaled(out, self.scale, up);
        }
    }
}
