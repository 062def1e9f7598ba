//! A connection to one server.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use phial_serve::{ExternalError, ExternalTool};
use rmcp::ServiceExt;
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde_json::{Map, Value};
use tokio::process::Command;

use crate::config::Endpoint;

/// Variables that a program needs to find its way; what else this process knows, tokens perhaps,
/// is not for it.
const INHERITED: &[&str] =
    &["PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "USERPROFILE", "APPDATA"];

/// A connection; ends, and a program with it, when it is dropped.
pub(crate) struct Connection(RunningService<RoleClient, ()>);

impl Connection {
    /// Starts or calls the server.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, ExternalError> {
        match endpoint {
            Endpoint::Program { command, folder, environment } => {
                Self::start(command, folder.as_deref(), environment).await
            }
            Endpoint::Address { url, token_variable } => {
                Self::call_up(url, token_variable.as_deref()).await
            }
        }
    }

    async fn start(
        command: &[String],
        folder: Option<&Path>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ExternalError> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(ExternalError("its command is empty".to_owned()));
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        for name in INHERITED {
            command.envs(std::env::var_os(name).map(|value| (*name, value)));
        }
        command.envs(environment);
        folder.iter().for_each(|folder| {
            command.current_dir(folder);
        });
        let (transport, _) =
            TokioChildProcess::builder(command)
                .stderr(Stdio::inherit())
                .spawn()
                .map_err(|error| ExternalError(format!("cannot start {program:?}: {error}")))?;
        let service = ().serve(transport).await.map_err(|error| one_line(&error))?;
        Ok(Self(service))
    }

    async fn call_up(url: &str, token_variable: Option<&str>) -> Result<Self, ExternalError> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(url);
        if let Some(name) = token_variable {
            let token = std::env::var(name)
                .map_err(|_| ExternalError(format!("the variable {name} is not set")))?;
            config = config.auth_header(token);
        }
        let transport = StreamableHttpClientTransport::from_config(config);
        let service = ().serve(transport).await.map_err(|error| one_line(&error))?;
        Ok(Self(service))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed() || self.0.is_transport_closed()
    }

    pub(crate) async fn tools(&self) -> Result<Vec<ExternalTool>, ExternalError> {
        let tools = self.0.list_all_tools().await.map_err(|error| one_line(&error))?;
        let tools = tools.into_iter().map(|tool| ExternalTool {
            name: tool.name.into_owned(),
            description: tool.description.map(std::borrow::Cow::into_owned),
            parameters: Value::Object((*tool.input_schema).clone()),
        });
        Ok(tools.collect())
    }

    pub(crate) async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<String, ExternalError> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        match self.0.call_tool(params).await {
            Ok(result) => text(&result),
            Err(ServiceError::McpError(error)) => Err(ExternalError(error.message.into_owned())),
            Err(error) => Err(one_line(&error)),
        }
    }
}

/// The result as text: that of its blocks, or else its structure.
fn text(result: &CallToolResult) -> Result<String, ExternalError> {
    let mut parts = Vec::new();
    for block in &result.content {
        match block {
            ContentBlock::Text(text) => parts.push(text.text.clone()),
            _ => {
                return Err(ExternalError(
                    "its result is not text, and only text can be given to the model".to_owned(),
                ));
            }
        }
    }
    if let (true, Some(value)) = (parts.is_empty(), &result.structured_content) {
        parts.push(value.to_string());
    }
    let text = parts.join("\n");
    if result.is_error == Some(true) { Err(ExternalError(text)) } else { Ok(text) }
}

fn one_line(error: &dyn std::error::Error) -> ExternalError {
    let text = error.to_string();
    ExternalError(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
