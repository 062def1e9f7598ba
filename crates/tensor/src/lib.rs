//! Element types, shapes and the exact meaning of quantised blocks.
//!
//! **Owns:** [`DType`] (every element type that a weight file may hold), [`Tensor`] (a typed view
//! of bytes that somebody keeps alive) and [`quant`] (decode and encode of each block format).
//!
//! **Does not know:** files, layer names, CPUs, threads. Nothing here is fast on purpose: the fast
//! forms of the same arithmetic live in `phial-kernels` and are tested against this crate.
//!
//! **Start at** [`DType`], then [`quant`].

mod bytes;
mod dtype;
pub mod quant;

pub use bytes::SharedBytes;
pub use dtype::DType;

/// A typed, shaped view of bytes. Row-major, outermost dimension first: a weight matrix is
/// `[rows (outputs), columns (inputs)]`.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Element type; quantised types are blocked along the last dimension.
    pub dtype: DType,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Exactly `dtype.row_bytes(columns) * rows` bytes, in file order.
    pub bytes: SharedBytes,
}

impl Tensor {
    /// The innermost size (1 for a scalar).
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The product of all sizes but the innermost.
    pub fn rows(&self) -> usize {
        self.shape.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// The bytes of one row.
    ///
    /// # Panics
    /// When `row` is out of range.
    pub fn row(&self, row: usize) -> &[u8] {
        let stride =
            self.dtype.row_bytes(self.columns()).expect("a tensor's rows are whole blocks");
        &self.bytes[row * stride..(row + 1) * stride]
    }

    /// All elements as f32, decoded with [`quant::decode`].
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.shape.iter().product()];
        quant::decode(self.dtype, &self.bytes, &mut out);
        out
    }
}
