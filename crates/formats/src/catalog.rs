use std::collections::HashMap;

use phial_tensor::{DType, SharedBytes, Tensor};

/// What a file says of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the file.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// Sizes, outermost first: a weight matrix is `[rows (outputs), columns (inputs)]`.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Bytes of the tensor's data; `None` when rows are not whole blocks or a product of sizes
    /// does not fit in `usize`.
    pub fn data_bytes(&self) -> Option<usize> {
        let (&columns, outer) = self.shape.split_last().unwrap_or((&1, &[]));
        // Sizes of zero count as one at first: no product of some of the sizes may overflow
        // either, or code that multiplies them in another order would.
        let rows = outer.iter().try_fold(1_usize, |rows, &size| rows.checked_mul(size.max(1)))?;
        rows.checked_mul(columns.max(1))?;
        let row_bytes = self.dtype.row_bytes(columns)?;
        let bytes = rows.checked_mul(row_bytes)?;
        Some(if outer.contains(&0) { 0 } else { bytes })
    }
}

/// Tensors in file order, found by name.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    infos: Vec<TensorInfo>,
    bytes: Vec<SharedBytes>,
    by_name: HashMap<String, usize>,
}

impl Catalog {
    /// Adds a tensor whose bytes have the right length; `false` when the name is taken.
    #[must_use]
    pub(crate) fn add(&mut self, info: TensorInfo, bytes: SharedBytes) -> bool {
        debug_assert_eq!(info.data_bytes(), Some(bytes.len()));
        let index = self.infos.len();
        if self.contains(&info.name) {
            return false;
        }
        self.by_name.insert(info.name.clone(), index);
        self.infos.push(info);
        self.bytes.push(bytes);
        true
    }

    pub(crate) fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<Tensor> {
        let index = *self.by_name.get(name)?;
        let info = &self.infos[index];
        Some(Tensor {
            dtype: info.dtype,
            shape: info.shape.clone(),
            bytes: self.bytes[index].clone(),
        })
    }

    pub(crate) fn into_parts(self) -> impl Iterator<Item = (TensorInfo, SharedBytes)> {
        self.infos.into_iter().zip(self.bytes)
    }
}
