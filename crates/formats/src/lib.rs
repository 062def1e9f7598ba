//! safetensors and GGUF files, and files of packed weights.
//!
//! **Owns:** reading (memory-mapped, without copying), writing, and the checks that make a hostile
//! file an error. **Does not know:** what a tensor name means, how weights are packed.
//!
//! **Start at** [`WeightSource`] and [`ModelFile`], then [`gguf`] and [`safetensors`]; [`packed`]
//! is what is kept of them between starts.

mod aside;
mod catalog;
mod error;
pub mod gguf;
mod map;
mod model_file;
pub mod packed;
mod planned;
mod room;
pub mod safetensors;
mod source_file;

use phial_tensor::Tensor;

pub use catalog::TensorInfo;
pub use error::Error;
pub use gguf::Gguf;
pub use model_file::ModelFile;
pub use safetensors::Safetensors;
pub use source_file::SourceStamp;

/// Named tensors of one model, wherever they come from.
pub trait WeightSource: Send + Sync {
    /// Every tensor in file order: name, element type, shape (outermost first).
    fn tensors(&self) -> &[TensorInfo];

    /// The tensor of that name; its bytes share the memory map.
    fn tensor(&self, name: &str) -> Option<Tensor>;
}
