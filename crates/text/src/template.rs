//! Chat templates: how a conversation becomes a prompt.

mod clock;
mod guard;
mod hermes;
mod jinja;
mod json;
mod phi4;

use crate::{Error, Message, Prompt, Tokenizer};
use serde_json::Value;

pub use jinja::JinjaTemplate;

/// How a conversation becomes a prompt.
#[derive(Clone, Debug)]
pub enum ChatTemplate {
    /// The format of the Phi-4-mini family, with tools: `<|system|>…<|end|><|user|>…<|end|>`,
    /// no line breaks, tools in the first system turn.
    Phi4,
    /// The template that a model brings along.
    Jinja(Box<JinjaTemplate>),
}

/// How a model writes calls of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFormat {
    /// `<|tool_call|>[{"name": …, "arguments": {…}}, …]<|/tool_call|>`
    Phi4,
    /// For each call `<tool_call>`, `{"name": …, "arguments": {…}}` and `</tool_call>` on lines of
    /// their own.
    Hermes,
}

impl ChatTemplate {
    /// Compiles the template that belongs to a model with this tokenizer, whose bos and eos
    /// the template may print. A template that writes what that of Phi-4-mini writes becomes
    /// [`ChatTemplate::Phi4`], which also knows tools.
    pub fn from_jinja(source: &str, tokenizer: &Tokenizer) -> Result<Self, Error> {
        let template = JinjaTemplate::compile(source, tokenizer)?;
        Ok(if phi4::is_written_by(&template) {
            Self::Phi4
        } else {
            Self::Jinja(Box::new(template))
        })
    }

    /// Writes the conversation as a prompt. `tools` is a list of tools in the form of the
    /// OpenAI API. With `add_generation_prompt`, the prompt ends where the assistant speaks.
    ///
    /// A template that has no place for tools, or none for calls and their results, is given the
    /// conversation with these written out as text, in the format of Hermes: the tools in
    /// the first system turn, between `<tools>` and `</tools>`; calls as [`CallFormat::Hermes`];
    /// results in turns of the user, between `<tool_response>` and `</tool_response>`.
    ///
    /// Whatever messages and tools spell, it is text in the prompt, never a control token.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
        add_generation_prompt: bool,
    ) -> Result<Prompt, Error> {
        match self {
            Self::Phi4 => Ok(phi4::render(messages, tools, add_generation_prompt)),
            Self::Jinja(template) => template.render(messages, tools, add_generation_prompt),
        }
    }

    /// How the model is expected to write calls.
    pub fn call_format(&self) -> CallFormat {
        match self {
            Self::Phi4 => CallFormat::Phi4,
            Self::Jinja(template) => template.call_format(),
        }
    }
}
