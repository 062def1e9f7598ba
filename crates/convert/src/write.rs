//! Tensors from a source into a writer, encoded on all threads.

use phial_formats::gguf::Writer;
use phial_kernels::Pool;
use phial_tensor::{DType, Tensor, quant};

use crate::error::Error;
use crate::plan::{PlannedTensor, RowOrder};

/// Rows that a thread encodes at once.
const ROWS_PER_TILE: usize = 16;

/// Encoded bytes that are held before they are written.
const PIECE_BYTES: usize = 32 << 20;

/// Writes `planned` from `source`, its tensor in the source file (`None` when the plan holds the
/// values).
///
/// # Errors
/// A source of another shape, a type that cannot be encoded, or a failed write.
pub fn write_tensor(
    writer: &mut Writer,
    planned: &PlannedTensor,
    source: Option<&Tensor>,
    pool: &Pool,
) -> Result<(), Error> {
    let name = &planned.info.name;
    let Some(source) = source else {
        let bytes: Vec<u8> = planned.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        return Ok(writer.append(name, &bytes)?);
    };
    if source.shape != planned.info.shape {
        return Err(Error::Other(format!(
            "tensor {name:?} has shape {:?}, expected {:?}",
            source.shape, planned.info.shape
        )));
    }
    if source.dtype == planned.info.dtype && planned.order == RowOrder::Same {
        return Ok(writer.append(name, &source.bytes)?);
    }
    if source.dtype != planned.info.dtype && !quant::can_encode(planned.info.dtype) {
        let dtype = planned.info.dtype.name();
        return Err(Error::Other(format!("{dtype} can be read but not made")));
    }
    let columns = source.columns();
    let row_bytes = planned.info.dtype.row_bytes(columns).ok_or_else(|| {
        Error::Other(format!("rows of {name:?} are not whole blocks of {columns} values"))
    })?;
    let rows_per_piece = (PIECE_BYTES / row_bytes.max(1)).max(ROWS_PER_TILE);
    let mut first = 0;
    while first < source.rows() {
        let count = rows_per_piece.min(source.rows() - first);
        let mut piece = vec![0; count * row_bytes];
        let tiles = piece.chunks_mut(ROWS_PER_TILE * row_bytes).enumerate().collect();
        pool.for_each(tiles, |(tile, out): (usize, &mut [u8])| {
            let mut values = vec![0.0; columns];
            for (index, out) in out.chunks_exact_mut(row_bytes).enumerate() {
                let row = first + tile * ROWS_PER_TILE + index;
                let bytes = source.row(source_row(planned.order, row));
                transcode(source.dtype, bytes, planned.info.dtype, out, &mut values);
            }
        });
        writer.append(name, &piece)?;
        first += count;
    }
    Ok(())
}

fn transcode(from: DType, bytes: &[u8], to: DType, out: &mut [u8], values: &mut [f32]) {
    if from == to {
        out.copy_from_slice(bytes);
    } else {
        quant::decode(from, bytes, values);
        quant::encode(to, values, out);
    }
}

/// The source's row that becomes `row`.
fn source_row(order: RowOrder, row: usize) -> usize {
    match order {
        RowOrder::Same => row,
        RowOrder::Interleaved { head_dim } => {
            let (head, within) = (row / head_dim, row % head_dim);
            head * head_dim + within % 2 * (head_dim / 2) + within / 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaving_pairs_the_halves_of_each_head() {
        let order = RowOrder::Interleaved { head_dim: 4 };
        let rows: Vec<_> = (0..8).map(|row| source_row(order, row)).collect();
        assert_eq!(rows, [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
