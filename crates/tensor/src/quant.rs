//! Decode and encode of every block format, element by element, as ggml defines them.

use crate::DType;

/// Decodes whole blocks into `out`.
///
/// # Panics
/// When `bytes` does not hold exactly `out.len()` elements of `dtype`.
pub fn decode(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(dtype.row_bytes(out.len()), Some(bytes.len()));
    unimplemented!()
}
