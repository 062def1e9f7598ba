//! Which external tools a request is offered, and running them.

use std::sync::Arc;
use std::time::Instant;

use phial_openai::InvalidRequest;
use serde_json::{Map, Value};

use super::tools::{Tool, Tools};
use crate::api_error::ApiError;
use crate::external::{ExternalTool, ExternalTools};
use crate::limits::Limits;
use crate::server::Server;

/// A server of tools that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its label.
    pub server: String,
    /// Only these of its tools; `None`: all.
    pub allowed: Option<Vec<String>>,
}

/// External tools that one request may use.
#[derive(Debug)]
pub(crate) struct Offer {
    source: Arc<dyn ExternalTools>,
    limits: Limits,
    entries: Vec<Entry>,
    lists: Vec<(String, Vec<ExternalTool>)>,
}

#[derive(Debug)]
struct Entry {
    /// What the model calls it.
    name: String,
    server: String,
    /// What its server calls it.
    tool: String,
}

/// A call that the server ran, or refused to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternalCall {
    /// `mcp_…`
    pub id: String,
    /// The label of the server.
    pub server: String,
    /// The tool, as its server calls it.
    pub tool: String,
    /// A JSON object as text, unless the model failed to write one.
    pub arguments: String,
    /// What it gave, or why it gave nothing.
    pub result: Result<String, String>,
}

impl Offer {
    /// Asks the servers for their tools and adds these to `tools`; `None` if nothing is wanted.
    ///
    /// # Errors
    /// If there is no such server, it does not answer, or names do not fit together.
    pub(crate) async fn gather(
        server: &Server,
        wanted: &[Wanted],
        tools: &mut Tools,
    ) -> Result<Option<Self>, ApiError> {
        if wanted.is_empty() {
            return Ok(None);
        }
        let refuse = |problem: String| InvalidRequest::value("tools", problem);
        let Some(source) = &server.options().external_tools else {
            return Err(refuse("this server has no tools of its own.".to_owned()).into());
        };
        let limits = server.options().limits.clone();
        let mut offer =
            Self { source: Arc::clone(source), limits, entries: Vec::new(), lists: Vec::new() };
        for Wanted { server: label, allowed } in wanted {
            if !source.servers().contains(label) {
                let known = source.servers().join("', '");
                let problem = format!("no server is labelled '{label}'; there are '{known}'.");
                return Err(refuse(problem).into());
            }
            let listed =
                tokio::time::timeout(offer.limits.external_call_time_max, source.tools(label));
            let listed = match listed.await {
                Ok(Ok(listed)) => listed,
                Ok(Err(error)) => return Err(ApiError::external(label, &error.0)),
                Err(_) => return Err(ApiError::external(label, "it did not answer in time")),
            };
            let missing = allowed
                .iter()
                .flatten()
                .find(|name| !listed.iter().any(|tool| tool.name == **name));
            if let Some(missing) = missing {
                let problem = format!("the server '{label}' has no tool '{missing}'.");
                return Err(refuse(problem).into());
            }
            let is_allowed = |tool: &ExternalTool| {
                allowed.as_ref().is_none_or(|allowed| allowed.contains(&tool.name))
            };
            let offered: Vec<ExternalTool> = listed.into_iter().filter(is_allowed).collect();
            offer.lists.push((label.clone(), offered.clone()));
            for tool in offered {
                let name = api_name(&tool.name);
                if tools.list.iter().any(|other| other.name == name) {
                    let problem =
                        format!("two tools are called '{name}'; choose by 'allowed_tools'.");
                    return Err(refuse(problem).into());
                }
                tools.list.push(Tool {
                    name: name.clone(),
                    description: tool.description,
                    parameters: Some(tool.parameters),
                    strict: false,
                });
                offer.entries.push(Entry { name, server: label.clone(), tool: tool.name });
            }
        }
        let count_max = phial_openai::Tools::COUNT_MAX;
        if tools.list.len() > count_max {
            let count = tools.list.len();
            let problem =
                format!("{count} tools with those of the servers; at most {count_max} are taken.");
            return Err(refuse(problem).into());
        }
        Ok(Some(offer))
    }

    /// The tools of each server, in the order in which they were wanted.
    pub(crate) fn lists(&self) -> &[(String, Vec<ExternalTool>)] {
        &self.lists
    }

    /// Whether the model calls an external tool by this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// A call that is not run, and why.
    pub(super) fn refuse(
        &self,
        id: String,
        name: &str,
        arguments: String,
        why: &str,
    ) -> ExternalCall {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        ExternalCall {
            id,
            server: entry.map(|entry| entry.server.clone()).unwrap_or_default(),
            tool: entry.map_or(name, |entry| &entry.tool).to_owned(),
            arguments,
            result: Err(why.to_owned()),
        }
    }

    /// Runs a call. What it says is not logged.
    pub(super) async fn run(&self, id: String, name: &str, arguments: String) -> ExternalCall {
        let started = Instant::now();
        let mut call = self.refuse(id, name, arguments, "there is no such tool");
        let parsed: Result<Map<String, Value>, _> = serde_json::from_str(&call.arguments);
        call.result = match parsed {
            Ok(arguments) => self.result(&call, arguments).await,
            Err(_) => Err("the arguments are no JSON object".to_owned()),
        };
        tracing::info!(
            call = call.id,
            server = call.server,
            tool = call.tool,
            milliseconds = started.elapsed().as_millis() as u64,
            failed = call.result.is_err(),
            "external tool"
        );
        call
    }

    async fn result(
        &self,
        call: &ExternalCall,
        arguments: Map<String, Value>,
    ) -> Result<String, String> {
        let limit = self.limits.external_call_time_max;
        let running = self.source.call(&call.server, &call.tool, arguments);
        let text = match tokio::time::timeout(limit, running).await {
            Ok(result) => result.map_err(|error| error.0)?,
            Err(_) => return Err(format!("it took longer than {} seconds", limit.as_secs())),
        };
        let bytes_max = self.limits.external_result_bytes_max;
        if text.len() > bytes_max {
            return Err(format!(
                "its result has {} bytes; at most {bytes_max} are taken",
                text.len()
            ));
        }
        Ok(text)
    }
}

/// A name that the API takes.
fn api_name(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let name: String = name.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    name.chars().take(phial_openai::Tools::NAME_LENGTH_MAX).collect()
}
