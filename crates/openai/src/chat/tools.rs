//! Tools that a request offers, and calls of them.

use serde::Serialize;
use serde_json::Value;

use crate::error::InvalidRequest;
pub(crate) use crate::fields::check_name;
use crate::fields::{Fields, NAME_LENGTH_MAX, type_name};

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionTool {
    /// 1 to 64 of `a-z`, `A-Z`, `0-9`, `_` and `-`; unique within a request.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments, an object; `None`: it takes none.
    pub parameters: Option<Value>,
    /// Whether arguments must obey the schema.
    pub strict: bool,
}

/// Whether the model must call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// It must not.
    None,
    /// As it likes.
    #[default]
    Auto,
    /// At least one.
    Required,
    /// This one; it is among the tools of the request.
    Function(String),
}

/// A server of tools that this server is to use. An extension of chat: as in the responses API,
/// for servers that this server knows by their label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// Its label.
    pub label: String,
    /// Only these of its tools; `None`: all.
    pub allowed: Option<Vec<String>>,
}

/// The tools of a request and its terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Tools {
    /// Functions of the client, in the order of the request.
    pub list: Vec<FunctionTool>,
    /// Servers of tools, each once.
    pub servers: Vec<McpServer>,
    /// Whether to call.
    pub choice: ToolChoice,
    /// Names of the only tools that may be called, each of the list; `None`: all.
    pub allowed: Option<Vec<String>>,
    /// Whether one answer may hold several calls.
    pub parallel: bool,
}

impl Tools {
    /// The most tools of a request.
    pub const COUNT_MAX: usize = 128;
    /// The most characters of a name.
    pub const NAME_LENGTH_MAX: usize = NAME_LENGTH_MAX;

    /// The names that [`Tools::read`] reads.
    pub(crate) const NAMES: &[&str] =
        &["function_call", "functions", "parallel_tool_calls", "tool_choice", "tools"];

    /// Reads what a chat request says about tools.
    pub(crate) fn read(fields: &Fields<'_>) -> Result<Self, InvalidRequest> {
        refuse_functions(fields)?;
        let given = fields.array("tools")?.map(Vec::as_slice).unwrap_or_default();
        if given.len() > Self::COUNT_MAX {
            return Err(InvalidRequest::value(
                fields.path("tools"),
                format_args!(
                    "array too long. Expected an array with maximum length {}, but got an array \
                     with length {} instead.",
                    Self::COUNT_MAX,
                    given.len()
                ),
            ));
        }
        let mut list: Vec<FunctionTool> = Vec::with_capacity(given.len());
        let mut servers: Vec<McpServer> = Vec::new();
        for (index, value) in given.iter().enumerate() {
            let path = format!("{}[{index}]", fields.path("tools"));
            if value.get("type").is_some_and(|kind| kind == "mcp") {
                let server = McpServer::read(value, &path)?;
                if servers.iter().any(|other| other.label == server.label) {
                    return Err(InvalidRequest::value(
                        format!("{path}.server_label"),
                        format_args!("'{}' is given twice.", server.label),
                    ));
                }
                servers.push(server);
                continue;
            }
            let tool = FunctionTool::read(value, &path)?;
            if list.iter().any(|other| other.name == tool.name) {
                return Err(InvalidRequest::value(
                    format!("{path}.function.name"),
                    format_args!("another tool is called '{}' as well.", tool.name),
                ));
            }
            list.push(tool);
        }
        let (choice, allowed) = read_choice(fields, &list, list.is_empty() && servers.is_empty())?;
        let parallel = fields.boolean("parallel_tool_calls")?.unwrap_or(true);
        Ok(Self { list, servers, choice, allowed, parallel })
    }
}

impl McpServer {
    fn read(value: &Value, path: &str) -> Result<Self, InvalidRequest> {
        let server = Fields::of(value, path)?;
        server.required("server_label")?;
        let label = server.string("server_label")?.unwrap_or_default().to_owned();
        // A request must not make this server speak to whom it likes.
        for name in ["server_url", "connector_id", "tunnel_id", "authorization", "headers"] {
            if server.get(name).is_some() {
                return Err(InvalidRequest::unsupported_beyond(
                    server.path(name),
                    "servers of the configuration, named by 'server_label'",
                ));
            }
        }
        server.known(&[&["allowed_tools", "require_approval", "server_label", "type"]])?;
        // The official default, which asks before each call, is not offered.
        if server.get("require_approval").is_none_or(|approval| approval != "never") {
            let path = server.path("require_approval");
            return Err(InvalidRequest::unsupported_beyond(path, "'never', which must be given"));
        }
        let names = match server.get("allowed_tools") {
            Some(filter @ Value::Object(_)) => {
                let filter = Fields::of(filter, server.path("allowed_tools"))?;
                if filter.get("read_only").is_some() {
                    return Err(InvalidRequest::unsupported(filter.path("read_only")));
                }
                read_names(&filter, "tool_names")?
            }
            _ => read_names(&server, "allowed_tools")?,
        };
        Ok(Self { label, allowed: names })
    }
}

fn read_names(fields: &Fields<'_>, name: &str) -> Result<Option<Vec<String>>, InvalidRequest> {
    let Some(list) = fields.array(name)? else { return Ok(None) };
    let names = list.iter().enumerate().map(|(index, value)| {
        value.as_str().map(str::to_owned).ok_or_else(|| {
            let path = format!("{}[{index}]", fields.path(name));
            InvalidRequest::wrong_type(path, "a string", type_name(value))
        })
    });
    names.collect::<Result<_, _>>().map(Some)
}

impl FunctionTool {
    fn read(value: &Value, path: &str) -> Result<Self, InvalidRequest> {
        let tool = Fields::of(value, path)?;
        tool.required("type")?;
        match tool.string("type")?.unwrap_or_default() {
            "function" => {}
            "custom" => {
                return Err(InvalidRequest::unsupported_beyond(tool.path("type"), "'function'"));
            }
            other => {
                return Err(InvalidRequest::value(
                    tool.path("type"),
                    format_args!(
                        "'{other}' is no kind of tool. Supported values are: 'function' and \
                         'mcp'."
                    ),
                ));
            }
        }
        tool.known(&[&["function", "type"]])?;
        tool.required("function")?;
        let path = tool.path("function");
        let Some(function) = tool.object("function")? else {
            return Err(InvalidRequest::missing(path));
        };
        function.known(&[&["description", "name", "parameters", "strict"]])?;
        function.required("name")?;
        let name = function.string("name")?.unwrap_or_default();
        check_name(name, function.path("name"))?;
        let parameters = match function.get("parameters") {
            None => None,
            Some(schema @ Value::Object(_)) => Some(schema.clone()),
            Some(other) => {
                let path = function.path("parameters");
                return Err(InvalidRequest::wrong_type(path, "an object", type_name(other)));
            }
        };
        Ok(Self {
            name: name.to_owned(),
            description: function.string("description")?.map(str::to_owned),
            parameters,
            strict: function.boolean("strict")?.unwrap_or(false),
        })
    }
}

/// Tools of before there were tools.
fn refuse_functions(fields: &Fields<'_>) -> Result<(), InvalidRequest> {
    let asks = fields.array("functions")?.is_some_and(|list| !list.is_empty());
    if asks {
        return Err(InvalidRequest::unsupported_instead(fields.path("functions"), "tools"));
    }
    if fields.get("function_call").is_some_and(|choice| choice != "none") {
        return Err(InvalidRequest::unsupported_instead(
            fields.path("function_call"),
            "tool_choice",
        ));
    }
    Ok(())
}

type Choice = (ToolChoice, Option<Vec<String>>);

fn read_choice(
    fields: &Fields<'_>,
    list: &[FunctionTool],
    none_given: bool,
) -> Result<Choice, InvalidRequest> {
    let path = fields.path("tool_choice");
    let choice = match fields.get("tool_choice") {
        None => return Ok((ToolChoice::Auto, None)),
        Some(Value::String(mode)) => match mode.as_str() {
            "none" => return Ok((ToolChoice::None, None)),
            "auto" => return Ok((ToolChoice::Auto, None)),
            "required" => (ToolChoice::Required, None),
            other => {
                return Err(InvalidRequest::value(
                    path,
                    format_args!(
                        "'{other}'. Supported values are: 'none', 'auto', 'required', and objects."
                    ),
                ));
            }
        },
        Some(value @ Value::Object(_)) => read_choice_object(value, &path, list)?,
        Some(other) => {
            return Err(InvalidRequest::wrong_type(
                path,
                "a string or an object",
                type_name(other),
            ));
        }
    };
    if none_given {
        return Err(InvalidRequest::value(path, "only allowed when 'tools' are specified."));
    }
    Ok(choice)
}

fn read_choice_object(
    value: &Value,
    path: &str,
    list: &[FunctionTool],
) -> Result<Choice, InvalidRequest> {
    let choice = Fields::of(value, path)?;
    choice.required("type")?;
    match choice.string("type")?.unwrap_or_default() {
        "function" => {
            let name = read_tool_name(&choice, list)?;
            Ok((ToolChoice::Function(name), None))
        }
        "allowed_tools" => {
            choice.required("allowed_tools")?;
            let path = choice.path("allowed_tools");
            let Some(allowed) = choice.object("allowed_tools")? else {
                return Err(InvalidRequest::missing(path));
            };
            read_allowed(&allowed, list)
        }
        "custom" => Err(InvalidRequest::unsupported_beyond(
            choice.path("type"),
            "'function' and 'allowed_tools'",
        )),
        other => Err(InvalidRequest::value(
            choice.path("type"),
            format_args!("'{other}'. Supported values are: 'function' and 'allowed_tools'."),
        )),
    }
}

fn read_allowed(allowed: &Fields<'_>, list: &[FunctionTool]) -> Result<Choice, InvalidRequest> {
    allowed.required("mode")?;
    let choice = match allowed.string("mode")?.unwrap_or_default() {
        "auto" => ToolChoice::Auto,
        "required" => ToolChoice::Required,
        other => {
            return Err(InvalidRequest::value(
                allowed.path("mode"),
                format_args!("'{other}'. Supported values are: 'auto' and 'required'."),
            ));
        }
    };
    allowed.required("tools")?;
    let tools = allowed.array("tools")?.map(Vec::as_slice).unwrap_or_default();
    if tools.is_empty() {
        return Err(InvalidRequest::value(
            allowed.path("tools"),
            "empty array. Expected an array with minimum length 1.",
        ));
    }
    let names = tools.iter().enumerate().map(|(index, tool)| {
        let tool = Fields::of(tool, format!("{}[{index}]", allowed.path("tools")))?;
        read_tool_name(&tool, list)
    });
    Ok((choice, Some(names.collect::<Result<_, _>>()?)))
}

/// The name in `{"type": "function", "function": {"name": …}}`.
fn read_tool_name(tool: &Fields<'_>, list: &[FunctionTool]) -> Result<String, InvalidRequest> {
    tool.required("type")?;
    if tool.string("type")? != Some("function") {
        return Err(InvalidRequest::value(
            tool.path("type"),
            "expected the type of a tool of this request: 'function'.",
        ));
    }
    tool.required("function")?;
    let path = tool.path("function");
    let Some(function) = tool.object("function")? else {
        return Err(InvalidRequest::missing(path));
    };
    function.required("name")?;
    let name = function.string("name")?.unwrap_or_default();
    if !list.iter().any(|tool| tool.name == name) {
        return Err(InvalidRequest::value(
            function.path("name"),
            format_args!("no function '{name}' is in the 'tools' of the request."),
        ));
    }
    Ok(name.to_owned())
}

/// A call of a tool, in an answer or earlier in the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// By which the result refers to it.
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What is called.
    pub function: FunctionCall,
}

/// What a call calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionCall {
    /// The function.
    pub name: String,
    /// A JSON object as text. It may be cut short where the answer was.
    pub arguments: String,
}

impl ToolCall {
    /// A call of a function.
    pub fn new(id: String, name: String, arguments: String) -> Self {
        Self { id, kind: "function", function: FunctionCall { name, arguments } }
    }

    /// Reads a call of a message found at `path`.
    pub(crate) fn read(value: &Value, path: String) -> Result<Self, InvalidRequest> {
        let call = Fields::of(value, path)?;
        // Some clients leave it out; there is only one that is taken.
        if let Some(kind) = call.string("type")?
            && kind != "function"
        {
            return Err(InvalidRequest::unsupported_beyond(call.path("type"), "'function'"));
        }
        // From streams put together, and from clients that read arguments for their users.
        call.known(&[&["function", "id", "index", "type"]])?;
        call.required("id")?;
        let id = call.string("id")?.unwrap_or_default().to_owned();
        call.required("function")?;
        let path = call.path("function");
        let Some(function) = call.object("function")? else {
            return Err(InvalidRequest::missing(path));
        };
        function.known(&[&["arguments", "name", "parsed_arguments"]])?;
        function.required("name")?;
        let name = function.string("name")?.unwrap_or_default().to_owned();
        function.required("arguments")?;
        let arguments = function.string("arguments")?.unwrap_or_default().to_owned();
        Ok(Self::new(id, name, arguments))
    }
}

/// A call of a tool that this server ran. An extension of chat: as in the responses API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct McpCall {
    /// `mcp_…`
    pub id: String,
    /// Always `mcp_call`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The server of the tool.
    pub server_label: String,
    /// The tool.
    pub name: String,
    /// A JSON object as text, unless the model failed to write one.
    pub arguments: String,
    /// What it gave.
    pub output: Option<String>,
    /// Why it gave nothing.
    pub error: Option<String>,
}

impl McpCall {
    /// The value of `type`.
    pub const KIND: &'static str = "mcp_call";
}
