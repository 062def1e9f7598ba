//! Tools that this server runs itself, as items of a response.

use serde::Serialize;
use serde_json::{Value, json};

use super::item::Item;
use crate::chat::tools::McpServer;
use crate::error::InvalidRequest;
use crate::fields::Fields;

/// A tool that a server of tools has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct McpListedTool {
    /// By which its server knows it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub input_schema: Value,
    /// What else its server says of it; always `None`.
    pub annotations: Option<Value>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum McpCallStatus {
    /// The tool runs.
    InProgress,
    /// It gave something.
    Completed,
    /// It gave nothing.
    Failed,
}

impl Item {
    /// A call of a tool that begins.
    pub fn mcp_call(id: String, server_label: String, name: String, arguments: String) -> Self {
        Self::McpCall {
            id,
            status: McpCallStatus::InProgress,
            server_label,
            name,
            arguments,
            output: None,
            error: None,
            approval_request_id: None,
        }
    }

    /// The call with what it gave, or with why it gave nothing. Other items stay as they are.
    #[must_use]
    pub fn with_result(mut self, result: Result<String, String>) -> Self {
        if let Self::McpCall { status, output, error, .. } = &mut self {
            match result {
                Ok(text) => (*status, *output) = (McpCallStatus::Completed, Some(text)),
                Err(text) => {
                    *status = McpCallStatus::Failed;
                    *error = Some(json!({
                        "type": "mcp_tool_execution_error",
                        "content": [{"type": "text", "text": text}],
                    }));
                }
            }
        }
        self
    }
}

/// Reads a list of tools that an earlier response had.
pub(super) fn read_list(fields: &Fields<'_>, id: String) -> Result<Item, InvalidRequest> {
    fields.known(&[&["error", "id", "server_label", "tools", "type"]])?;
    fields.required("server_label")?;
    let server_label = fields.string("server_label")?.unwrap_or_default().to_owned();
    let given = fields.array("tools")?.map(Vec::as_slice).unwrap_or_default();
    let read = |(index, tool): (usize, &Value)| {
        let tool = Fields::of(tool, format!("{}[{index}]", fields.path("tools")))?;
        tool.required("name")?;
        Ok(McpListedTool {
            name: tool.string("name")?.unwrap_or_default().to_owned(),
            description: tool.string("description")?.map(str::to_owned),
            input_schema: tool.get("input_schema").cloned().unwrap_or_else(|| json!({})),
            annotations: None,
        })
    };
    let tools = given.iter().enumerate().map(read).collect::<Result<_, InvalidRequest>>()?;
    Ok(Item::McpListTools { id, server_label, tools, error: None })
}

/// Reads a call that an earlier response had.
pub(super) fn read_call(fields: &Fields<'_>, id: String) -> Result<Item, InvalidRequest> {
    fields.known(&[&[
        "approval_request_id",
        "arguments",
        "error",
        "id",
        "name",
        "output",
        "server_label",
        "status",
        "type",
    ]])?;
    let text = |name| -> Result<String, InvalidRequest> {
        fields.required(name)?;
        Ok(fields.string(name)?.unwrap_or_default().to_owned())
    };
    let call = Item::mcp_call(id, text("server_label")?, text("name")?, text("arguments")?);
    Ok(match (fields.string("output")?, fields.get("error")) {
        (Some(output), _) => call.with_result(Ok(output.to_owned())),
        (None, Some(Value::String(error))) => call.with_result(Err(error.clone())),
        (None, Some(error)) => call.with_result(Err(told(error))),
        (None, None) => call.with_result(Err("it was not run".to_owned())),
    })
}

/// The texts of an error of ours, or all of one of somebody else's.
fn told(error: &Value) -> String {
    let parts = error["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    if texts.is_empty() { error.to_string() } else { texts.join("\n") }
}

/// What a call gave, for the model.
pub(super) fn result(output: Option<&String>, error: Option<&Value>) -> String {
    match (output, error) {
        (Some(output), _) => output.clone(),
        (None, Some(error)) => format!("Error: {}.", told(error)),
        (None, None) => String::new(),
    }
}

/// A server of tools, as a response shows that it was asked for.
pub(super) fn shown(server: &McpServer) -> Value {
    json!({
        "type": "mcp",
        "server_label": server.label,
        "allowed_tools": server.allowed,
        "require_approval": "never",
    })
}
