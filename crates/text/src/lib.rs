//! Text in, token ids out, and back: the tokenizer and the chat templates.
//!
//! **Owns** byte-level BPE (vocabulary, merges, pre-tokenisers, added tokens), streaming
//! decoding, chat templates, and the rule that text written by a user never becomes a
//! control token.
//!
//! **Does not know** model weights, file containers (GGUF, safetensors), sampling, HTTP.
//!
//! **Start at** [`Tokenizer`] for ids, [`ChatTemplate`] for prompts, [`TextStream`] for
//! showing tokens while they are made.
//!
//! ```
//! use phial_text::{ChatTemplate, Message, SpecialTokens, Tokenizer};
//!
//! let tokenizer = Tokenizer::phi4();
//! assert_eq!(tokenizer.encode("Hello, world!", SpecialTokens::AsText), [13225, 11, 2375, 0]);
//!
//! let prompt = ChatTemplate::Phi4.render(&[Message::new("user", "What is 2+2?")], None, true)?;
//! assert_eq!(prompt.to_string(), "<|user|>What is 2+2?<|end|><|assistant|>");
//! assert_eq!(
//!     tokenizer.encode_prompt(&prompt),
//!     [200021, 4827, 382, 220, 17, 10, 17, 30, 200020, 200019]
//! );
//! # Ok::<(), phial_text::Error>(())
//! ```

mod added;
mod bpe;
mod byte_level;
mod classes;
mod error;
mod hugging_face;
pub mod limits;
mod phi4;
mod prompt;
mod split;
mod stream;
mod table;
mod template;
mod token_id;
mod tokenizer;
mod vocabulary;

pub use error::{Error, ErrorKind};
pub use prompt::{Message, Prompt, PromptPart, ToolCall};
pub use stream::TextStream;
pub use template::{CallFormat, ChatTemplate, JinjaTemplate};
pub use token_id::TokenId;
pub use tokenizer::{SpecialTokens, Tokenizer};
pub use vocabulary::Vocabulary;
