//! Where a layer's packed matrices come from: memory, or a file that is kept between starts.

use phial_formats::packed::{PackedFile, PackedInfo, PackedWriter};
use phial_kernels::packed::Form;
use phial_kernels::{PackedMatrix, Pool};
use phial_tensor::Tensor;

/// What a [`crate::Linear`] takes its matrices from.
pub(crate) enum Packs {
    /// Packed into memory.
    Memory,
    /// Taken from a file.
    Kept(PackedFile),
    /// Packed, added to a file, and taken from there.
    Making(PackedWriter),
    /// The file lacked something or could not be made, as the text says; the rest is packed into
    /// memory, and the whole not to be used.
    Failed(String),
}

impl Packs {
    /// The packed form of `tensor`, which is called `name`.
    pub(crate) fn matrix(&mut self, name: &str, tensor: &Tensor, pool: &Pool) -> PackedMatrix {
        let form = Form::of(tensor.dtype);
        let (rows, columns) = (tensor.rows(), tensor.columns());
        let info = PackedInfo { name, form: form.name(), rows, columns };
        let shared = |bytes| PackedMatrix::from_packed(form, rows, columns, bytes);
        if let Packs::Kept(file) = self {
            match file.matrix(&info).and_then(shared) {
                Some(matrix) => return matrix,
                None => *self = Packs::Failed(format!("it does not hold {name}")),
            }
        }
        let packed = PackedMatrix::pack(tensor, 0..rows, pool);
        if let Packs::Making(writer) = self {
            match writer.append(&info, packed.panels_in_order()).map(shared) {
                Ok(Some(matrix)) => return matrix,
                Ok(None) => *self = Packs::Failed(format!("{name} is not aligned")),
                Err(error) => *self = Packs::Failed(error.to_string()),
            }
        }
        packed
    }
}
