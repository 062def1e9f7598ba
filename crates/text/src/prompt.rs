//! What a chat template takes and gives: messages, and a prompt whose control tokens are
//! told apart from text by type, not by spelling.

use std::fmt;

/// One piece of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptPart {
    /// The text of one added token, such as `<|end|>`; a tokenizer that does not have it
    /// encodes it as ordinary text.
    Control(String),
    /// Ordinary text; whatever it spells, it never becomes a control token.
    Text(String),
}

/// A conversation as a model wants to read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The pieces, in order.
    pub parts: Vec<PromptPart>,
}

impl Prompt {
    /// An empty prompt.
    pub fn new() -> Self {
        Self::default()
    }

    /// A prompt of plain text without any control token.
    pub fn from_text(text: impl Into<String>) -> Self {
        let mut prompt = Self::new();
        prompt.push_text(text);
        prompt
    }

    /// Appends a control token.
    pub fn push_control(&mut self, token: impl Into<String>) {
        self.parts.push(PromptPart::Control(token.into()));
    }

    /// Appends text, joining it to text that already ends the prompt.
    pub fn push_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(PromptPart::Text(last)) => last.push_str(&text),
            _ => self.parts.push(PromptPart::Text(text)),
        }
    }
}

/// The prompt as one string, for people to read; control tokens and text that spells the
/// same look alike here, so this is not a form to tokenise.
impl fmt::Display for Prompt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            PromptPart::Control(text) | PromptPart::Text(text) => formatter.write_str(text),
        })
    }
}

/// A call of a tool that the model made earlier in the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// Name of the tool.
    pub name: String,
    /// The arguments; a string holding JSON, as the OpenAI API has it, counts as that JSON.
    pub arguments: serde_json::Value,
    /// Id by which the answer refers to the call.
    pub id: Option<String>,
}

/// One turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool`, or what else the template knows.
    pub role: String,
    /// The text of the turn.
    pub content: String,
    /// Calls made in this (assistant) turn.
    pub tool_calls: Vec<ToolCall>,
    /// The call that this (tool) turn answers.
    pub tool_call_id: Option<String>,
    /// Name of the speaker or of the tool.
    pub name: Option<String>,
}

impl Message {
    /// A turn of text only.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), ..Self::default() }
    }
}
