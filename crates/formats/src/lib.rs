//! safetensors and GGUF files.
//!
//! **Owns:** reading (memory-mapped, without copying), writing, and the checks that make a hostile
//! file an error. **Does not know:** what a tensor name means.
//!
//! **Start at** [`WeightSource`], then `gguf` and `safetensors`.

use phial_tensor::{DType, Tensor};

/// Named tensors of one model, wherever they come from.
pub trait WeightSource: Send + Sync {
    /// Every tensor in file order: name, element type, shape (outermost first).
    fn tensors(&self) -> &[TensorInfo];

    /// The tensor of that name; its bytes share the memory map.
    fn tensor(&self, name: &str) -> Option<Tensor>;
}

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
