//! Tools as this dialect has them: without the object around the function.

use serde_json::Value;

use crate::chat::tools::{FunctionTool, McpServer, ToolChoice, Tools};
use crate::error::InvalidRequest;
use crate::fields::{Fields, check_name, type_name};

/// Reads what a request says about tools.
pub(super) fn read_tools(fields: &Fields<'_>) -> Result<Tools, InvalidRequest> {
    let given = fields.array("tools")?.map(Vec::as_slice).unwrap_or_default();
    if given.len() > Tools::COUNT_MAX {
        let problem = format_args!("{} tools. Expected at most {}.", given.len(), Tools::COUNT_MAX);
        return Err(InvalidRequest::value("tools", problem));
    }
    let mut list: Vec<FunctionTool> = Vec::with_capacity(given.len());
    let mut servers: Vec<McpServer> = Vec::new();
    for (index, tool) in given.iter().enumerate() {
        let fields = Fields::of(tool, format!("tools[{index}]"))?;
        if fields.get("type").is_some_and(|kind| kind == "mcp") {
            servers.push(McpServer::read(&fields, &servers)?);
            continue;
        }
        let tool = read_tool(&fields)?;
        if list.iter().any(|other| other.name == tool.name) {
            let problem = format_args!("another tool is called '{}' as well.", tool.name);
            return Err(InvalidRequest::value(fields.path("name"), problem));
        }
        list.push(tool);
    }
    let (choice, allowed) = read_choice(fields, &list, list.is_empty() && servers.is_empty())?;
    let parallel = fields.boolean("parallel_tool_calls")?.unwrap_or(true);
    Ok(Tools { list, servers, choice, allowed, parallel })
}

fn read_tool(fields: &Fields<'_>) -> Result<FunctionTool, InvalidRequest> {
    fields.required("type")?;
    if fields.string("type")? != Some("function") {
        return Err(InvalidRequest::unsupported_beyond(
            fields.path("type"),
            "'function' and 'mcp'",
        ));
    }
    fields.known(&[&["description", "name", "parameters", "strict", "type"]])?;
    fields.required("name")?;
    let name = fields.string("name")?.unwrap_or_default().to_owned();
    check_name(&name, fields.path("name"))?;
    let parameters = match fields.get("parameters") {
        None => None,
        Some(schema @ Value::Object(_)) => Some(schema.clone()),
        Some(other) => {
            let path = fields.path("parameters");
            return Err(InvalidRequest::wrong_type(path, "an object", type_name(other)));
        }
    };
    Ok(FunctionTool {
        name,
        description: fields.string("description")?.map(str::to_owned),
        parameters,
        strict: fields.boolean("strict")?.unwrap_or(false),
    })
}

type Choice = (ToolChoice, Option<Vec<String>>);

fn read_choice(
    fields: &Fields<'_>,
    list: &[FunctionTool],
    nothing_offered: bool,
) -> Result<Choice, InvalidRequest> {
    let choice = match fields.get("tool_choice") {
        None => return Ok((ToolChoice::Auto, None)),
        Some(Value::String(mode)) => match mode.as_str() {
            "none" => return Ok((ToolChoice::None, None)),
            "auto" => return Ok((ToolChoice::Auto, None)),
            "required" => (ToolChoice::Required, None),
            other => {
                let problem = format_args!(
                    "'{other}'. Supported values are: 'none', 'auto', 'required', and objects."
                );
                return Err(InvalidRequest::value("tool_choice", problem));
            }
        },
        Some(value) => read_choice_object(&Fields::of(value, "tool_choice")?, list)?,
    };
    if nothing_offered {
        return Err(InvalidRequest::value("tool_choice", "only allowed when 'tools' are given."));
    }
    Ok(choice)
}

fn read_choice_object(
    choice: &Fields<'_>,
    list: &[FunctionTool],
) -> Result<Choice, InvalidRequest> {
    choice.required("type")?;
    match choice.string("type")?.unwrap_or_default() {
        "function" => Ok((ToolChoice::Function(read_name(choice, list)?), None)),
        "allowed_tools" => {
            choice.required("mode")?;
            let mode = match choice.string("mode")?.unwrap_or_default() {
                "auto" => ToolChoice::Auto,
                "required" => ToolChoice::Required,
                other => {
                    let problem =
                        format_args!("'{other}'. Supported values are: 'auto' and 'required'.");
                    return Err(InvalidRequest::value(choice.path("mode"), problem));
                }
            };
            choice.required("tools")?;
            let tools = choice.array("tools")?.map(Vec::as_slice).unwrap_or_default();
            let name = |(index, tool): (usize, &Value)| {
                let path = format!("{}[{index}]", choice.path("tools"));
                read_name(&Fields::of(tool, path)?, list)
            };
            let allowed = tools.iter().enumerate().map(name).collect::<Result<Vec<_>, _>>()?;
            if allowed.is_empty() {
                return Err(InvalidRequest::value(choice.path("tools"), "it is empty."));
            }
            Ok((mode, Some(allowed)))
        }
        _ => Err(InvalidRequest::unsupported_beyond(
            choice.path("type"),
            "'function' and 'allowed_tools'",
        )),
    }
}

fn read_name(fields: &Fields<'_>, list: &[FunctionTool]) -> Result<String, InvalidRequest> {
    if fields.get("type").is_some_and(|kind| kind != "function") {
        return Err(InvalidRequest::unsupported_beyond(fields.path("type"), "'function'"));
    }
    fields.required("name")?;
    let name = fields.string("name")?.unwrap_or_default();
    if list.iter().any(|tool| tool.name == name) {
        return Ok(name.to_owned());
    }
    let problem = format_args!("no function '{name}' is in the 'tools' of the request.");
    Err(InvalidRequest::value(fields.path("name"), problem))
}
