//! The tools that a request offers to the model.

use serde_json::{Value, json};

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tool {
    /// What calls name it by.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments; `None`: it takes none.
    pub parameters: Option<Value>,
    /// Whether arguments must obey the schema.
    pub strict: bool,
}

/// Whether the model must call something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    /// It must not.
    None,
    /// As it likes.
    #[default]
    Auto,
    /// At least one tool.
    Required,
    /// This tool.
    Named(String),
}

/// What a request offers, and on which terms.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tools {
    /// In the order of the request; names are unique.
    pub list: Vec<Tool>,
    /// Whether to call.
    pub choice: ToolChoice,
    /// If given, only these of the list may be called; the model is told of all.
    pub allowed: Option<Vec<String>>,
    /// Whether one turn may hold several calls.
    pub parallel: bool,
}

impl Default for Tools {
    fn default() -> Self {
        Self { list: Vec::new(), choice: ToolChoice::Auto, allowed: None, parallel: true }
    }
}

impl Tools {
    /// The tools that may be called.
    pub(super) fn callable(&self) -> impl Iterator<Item = &Tool> {
        self.list.iter().filter(|tool| match &self.choice {
            ToolChoice::None => false,
            ToolChoice::Named(name) => tool.name == *name,
            ToolChoice::Auto | ToolChoice::Required => {
                self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&tool.name))
            }
        })
    }

    /// The list in the form of the API, as chat templates expect it. A model that must not call is
    /// not told of tools: small ones would call all the same.
    pub(super) fn for_template(&self) -> Option<Value> {
        if self.list.is_empty() || self.choice == ToolChoice::None {
            return None;
        }
        Some(self.list.iter().map(tool_value).collect())
    }
}

fn tool_value(tool: &Tool) -> Value {
    let mut function = json!({"name": tool.name});
    if let Some(description) = &tool.description {
        function["description"] = description.as_str().into();
    }
    function["parameters"] =
        tool.parameters.clone().unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    json!({"type": "function", "function": function})
}
