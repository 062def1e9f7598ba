//! A linear layer: one or several packed matrices side by side, in any encoding, and low-rank
//! additions.

use std::ops::Range;
use std::sync::Arc;

use phial_kernels::matmul::{Product, matmul, matmul_panels};
use phial_kernels::{
    Activations, Codes, DisjointRows, PackedMatrix, Pool, Span, Tier, elementwise,
};
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
    arithmetic: Arithmetic,
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

impl Arithmetic {
    /// What quantised weights are multiplied with.
    fn codes(self, span: Span) -> Codes {
        match self {
            Arithmetic::Fine => Codes::Sixteen(span),
            Arithmetic::Exact | Arithmetic::Fast => Codes::Eight(span),
        }
    }
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
        let spans =
            parts.iter().filter_map(|(matrix, _): &(PackedMatrix, usize)| matrix.form().span());
        let codes = spans.max().map_or(Codes::None, |span| arithmetic.codes(span));
        Self { parts, rows, columns, arithmetic, codes }
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
        let all = self.parts.iter().map(|(weights, column)| Product { weights, column: *column });
        let read = |product: &Product<'_>| {
            let span = product.weights.form().span();
            span.is_none() || span == input.codes().span()
        };
        let (products, others): (Vec<_>, Vec<_>) = all.partition(read);
        let rows = DisjointRows::new(out, self.rows);
        matmul(&compute.pool, compute.tier, &products, input, rows);
        if !others.is_empty() {
            let again = self.coded_otherwise(compute, input);
            matmul(&compute.pool, compute.tier, &others, &again, rows);
        }
        out
    }

    /// The input with a scale per group, for parts of a type that is not that of the others: some
    /// files have a few tensors of another type.
    fn coded_otherwise(&self, compute: &Compute, input: &Activations) -> Activations {
        let (shape, codes) = ((input.rows(), self.columns), self.arithmetic.codes(Span::Group));
        let mut again = Activations::default();
        again.fill(&compute.pool, compute.tier, shape, codes, |row, out| {
            out.copy_from_slice(&input.values()[row * self.columns..][..self.columns]);
        });
        again
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

#[cfg(test)]
mod tests {
    use super::*;
    use phial_tensor::quant;

    const COLUMNS: usize = 512;
    const ROWS: usize = 5;

    fn tensor(dtype: DType, rows: usize) -> Tensor {
        let value = |index: usize| ((index * 37 + rows) % 101) as f32 / 50.0 - 1.0;
        let mut bytes = vec![0; dtype.row_bytes(COLUMNS).expect("whole blocks") * rows];
        let len = bytes.len() / rows;
        for (row, out) in bytes.chunks_exact_mut(len).enumerate() {
            let values: Vec<f32> = (0..COLUMNS).map(|column| value(row * 13 + column)).collect();
            quant::encode(dtype, &values, out);
        }
        Tensor { dtype, shape: vec![rows, COLUMNS], bytes: bytes.into() }
    }

    fn outputs(tensors: &[(&str, Tensor)], arithmetic: Arithmetic, compute: &Compute) -> Vec<f32> {
        let linear = Linear::pack(tensors, arithmetic, &mut Packs::Memory, compute);
        let mut input = Activations::default();
        input.fill(&compute.pool, compute.tier, (ROWS, COLUMNS), linear.codes(), |row, out| {
            for (column, out) in out.iter_mut().enumerate() {
                *out = ((row * 31 + column * 7) % 67) as f32 / 30.0 - 1.1;
            }
        });
        linear.apply(compute, &input, &mut Vec::new()).to_vec()
    }

    #[test]
    fn parts_of_every_type_compute_what_they_do_alone() {
        let compute = Compute { pool: Arc::new(Pool::new(2)), tier: Tier::available()[0] };
        let parts = [(DType::Q8_0, 20), (DType::Q4_K, 33), (DType::BF16, 16), (DType::Q6_K, 7)];
        for arithmetic in [Arithmetic::Fast, Arithmetic::Fine, Arithmetic::Exact] {
            let together = parts.map(|(dtype, rows)| (dtype.name(), tensor(dtype, rows)));
            let together = outputs(&together, arithmetic, &compute);
            let width = together.len() / ROWS;
            let mut first = 0;
            for (dtype, rows) in parts {
                let alone = outputs(&[("alone", tensor(dtype, rows))], arithmetic, &compute);
                for (whole, alone) in together.chunks_exact(width).zip(alone.chunks_exact(rows)) {
                    assert!(whole[first..][..rows] == *alone, "{} {arithmetic:?}", dtype.name());
                }
                first += rows;
            }
            assert_eq!(first, width);
        }
    }
}
