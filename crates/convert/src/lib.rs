//! From one weight file to another.
//!
//! **Owns:** [`Recipe`] (which tensor gets which encoding), [`Plan`] (a GGUF file that is to be
//! made of safetensors or of another GGUF file: metadata, names, order of rows), writing it tensor
//! by tensor on all threads, and [`Preset`] (files of a real model's shape with random weights).
//!
//! **Does not know:** downloads, the command line, how a model is run.
//!
//! **Start at** [`Plan`].

mod error;
mod plan;
mod recipe;
mod side_files;
mod synthetic;
mod vocabulary;
mod write;

pub use error::Error;
pub use plan::{Plan, PlannedTensor};
pub use recipe::Recipe;
pub use side_files::SideFiles;
pub use synthetic::{Preset, synthesise};
pub use vocabulary::{tokenizer_of, vocabulary_into};
pub use write::write_tensor;
