//! Weights as the kernels want them: panels of 16 rows, interleaved.
//!
//! A vector instruction multiplies four consecutive bytes in each 32-bit lane, so a panel gives
//! each lane its own row: 64 bytes hold four columns of 16 rows. One layout serves every tier,
//! whose lane counts (16, 8, 4) divide 16. Nothing is rounded: codes and scales are the numbers
//! of the source file, only moved.
//!
//! ```text
//! panel  = blocks of columns, one after another: a product reads it from end to end
//! block  = scales of 16 rows, then the codes of its groups (one group; eight under a super-scale)
//! group  = 32 columns: vectors j = 0..4 of 64 bytes;
//!          byte 4r+b of vector j: row r, low nibble column 4j+b, high nibble column 16+4j+b
//! 5 bits = group, then 64 bytes: bit i of byte 4r+b is the fifth bit of vector i (0..8)
//! 6 bits = group, then 2 x 64 bytes: two bits each of vectors 0..4 and 4..8
//! 8 bits = 8 vectors of 64 bytes, code = value + 128
//! float  = column by column: 16 elements
//! ```
//! Vector `i` (0..8) of a group stands for columns `4i..4i+4`.

mod pack;

use phial_tensor::{DType, SharedBytes, Tensor};

use crate::activations::Span;
use crate::buffer::Buffer;
use crate::lanes::PANEL_ROWS;
use crate::pool::Pool;

/// Counts the layouts that there were: bytes that were packed under another number are not to be
/// read. Whoever moves a byte raises it; a test holds the bytes of every form to it.
pub const LAYOUT_VERSION: u32 = 1;

/// Where the bytes of a matrix must start, in bytes: vectors are loaded from whole cache lines.
pub const ALIGNMENT: usize = 64;

/// How codes and scales of a panel are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// f32, f16 or bf16 elements.
    Float(DType),
    /// 4-bit codes, f16 scale per group, zero point 8 (`q4_0`).
    Nibble,
    /// 4-bit codes, f16 scale and minimum per group (`q4_1`).
    NibbleMin,
    /// 4-bit codes, 8-bit scale and minimum per group under f16 ones per 256 columns (`q4_k`).
    NibbleSuper,
    /// As [`Form::NibbleSuper`] with 5-bit codes (`q5_k`).
    FiveSuper,
    /// 6-bit codes, zero point 32, 8-bit scale per 16 columns under an f16 one per 256 (`q6_k`).
    SixSuper,
    /// 8-bit codes, f16 scale per group (`q8_0`).
    Byte,
    /// 8-bit codes, f32 scale and minimum per 16 columns: every other type.
    ByteMin,
}

impl Form {
    /// The form that holds `dtype`.
    pub const fn of(dtype: DType) -> Self {
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 => Form::Float(dtype),
            DType::Q4_0 => Form::Nibble,
            DType::Q4_1 => Form::NibbleMin,
            DType::Q4_K => Form::NibbleSuper,
            DType::Q5_K => Form::FiveSuper,
            DType::Q6_K => Form::SixSuper,
            DType::Q8_0 => Form::Byte,
            _ => Form::ByteMin,
        }
    }

    /// A name for files: the same for the same layout of bytes.
    pub const fn name(self) -> &'static str {
        match self {
            Form::Float(dtype) => dtype.name(),
            Form::Nibble => "nibble",
            Form::NibbleMin => "nibble-min",
            Form::NibbleSuper => "nibble-super",
            Form::FiveSuper => "five-super",
            Form::SixSuper => "six-super",
            Form::Byte => "byte",
            Form::ByteMin => "byte-min",
        }
    }

    /// Columns of activations that share a scale where the product takes codes of them; `None` of
    /// floats, which are multiplied with the values.
    pub const fn span(self) -> Option<Span> {
        match self {
            Form::Float(_) => None,
            Form::NibbleSuper | Form::FiveSuper | Form::SixSuper => Some(Span::Super),
            Form::Nibble | Form::NibbleMin | Form::Byte | Form::ByteMin => Some(Span::Group),
        }
    }

    /// How a panel is cut into blocks.
    pub(crate) const fn block(self) -> Block {
        let (groups, scale_bytes, code_bytes) = match self {
            Form::Float(DType::F32) => (0, 0, 64),
            Form::Float(_) => (0, 0, 32),
            Form::Nibble => (1, 32, 256),
            Form::NibbleMin => (1, 64, 256),
            Form::NibbleSuper => (8, 64 + 8 * 32, 256),
            Form::FiveSuper => (8, 64 + 8 * 32, 320),
            Form::SixSuper => (8, 32 + 8 * 32, 384),
            Form::Byte => (1, 32, 512),
            Form::ByteMin => (1, 256, 512),
        };
        Block { groups, scale_bytes, code_bytes }
    }

    /// Bytes of a panel of 16 rows.
    const fn panel_bytes(self, columns: usize) -> usize {
        let block = self.block();
        let bytes = match block.groups {
            0 => columns * block.code_bytes,
            groups => columns / (32 * groups) * block.bytes(),
        };
        bytes.next_multiple_of(64)
    }
}

/// A block of columns of a panel.
pub(crate) struct Block {
    /// Groups of 32 columns; 0 for floats, whose block is one column.
    pub groups: usize,
    /// Bytes of all scales.
    pub scale_bytes: usize,
    /// Bytes of codes per group.
    pub code_bytes: usize,
}

impl Block {
    /// Bytes of a whole block of a quantised form.
    pub const fn bytes(&self) -> usize {
        self.scale_bytes + self.groups * self.code_bytes
    }
}

/// A weight matrix `[rows (outputs), columns (inputs)]` in panels of 16 rows; the last panel is
/// filled up with zero rows.
pub struct PackedMatrix {
    rows: usize,
    columns: usize,
    form: Form,
    panel_bytes: usize,
    bytes: Bytes,
}

/// Who keeps the panels.
enum Bytes {
    Owned(Buffer),
    Shared(SharedBytes),
}

impl Bytes {
    #[inline(always)]
    fn all(&self) -> &[u8] {
        match self {
            Bytes::Owned(buffer) => buffer,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

impl PackedMatrix {
    /// Packs rows `rows` of `tensor`, panel by panel on all threads of `pool`.
    ///
    /// # Panics
    /// When the range is not within the tensor.
    pub fn pack(tensor: &Tensor, rows: std::ops::Range<usize>, pool: &Pool) -> Self {
        assert!(rows.end <= tensor.rows());
        let form = Form::of(tensor.dtype);
        let columns = tensor.columns();
        let panel_bytes = form.panel_bytes(columns);
        let panels = rows.len().div_ceil(PANEL_ROWS);
        let mut bytes = Buffer::zeroed(panels * panel_bytes);
        let tiles: Vec<_> = bytes.chunks_mut(panel_bytes.max(1)).enumerate().collect();
        pool.for_each(tiles, |(panel, bytes): (usize, &mut [u8])| {
            let first = rows.start + panel * PANEL_ROWS;
            let count = PANEL_ROWS.min(rows.end - first);
            for lane in 0..count {
                pack::row(tensor.dtype, tensor.row(first + lane), lane, bytes);
            }
        });
        Self { rows: rows.len(), columns, form, panel_bytes, bytes: Bytes::Owned(bytes) }
    }

    /// A matrix whose panels were packed before under the same [`LAYOUT_VERSION`] and are kept by
    /// somebody else. `None` when `bytes` is not exactly as long as `rows` rows of `columns`
    /// columns are in `form`, or does not start at a multiple of [`ALIGNMENT`].
    pub fn from_packed(
        form: Form,
        rows: usize,
        columns: usize,
        bytes: SharedBytes,
    ) -> Option<Self> {
        let panel_bytes = form.panel_bytes(columns);
        let expected = rows.div_ceil(PANEL_ROWS).checked_mul(panel_bytes)?;
        let aligned = bytes.as_ptr().addr().is_multiple_of(ALIGNMENT);
        let fits = bytes.len() == expected && (aligned || expected == 0);
        fits.then(|| Self { rows, columns, form, panel_bytes, bytes: Bytes::Shared(bytes) })
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How it is stored.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        self.panels_in_order().len()
    }

    /// Whether somebody else keeps its bytes.
    pub fn is_shared(&self) -> bool {
        matches!(self.bytes, Bytes::Shared(_))
    }

    /// All panels: what [`PackedMatrix::from_packed`] takes.
    pub fn panels_in_order(&self) -> &[u8] {
        self.bytes.all()
    }

    /// Panels of 16 rows.
    pub fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL_ROWS)
    }

    /// The bytes of a panel.
    #[inline(always)]
    pub(crate) fn panel(&self, index: usize) -> &[u8] {
        &self.bytes.all()[index * self.panel_bytes..][..self.panel_bytes]
    }
}
