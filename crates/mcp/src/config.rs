//! Which servers there are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;

/// The servers of a configuration file, by label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    servers: BTreeMap<String, Endpoint>,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A program of this machine that is started and spoken to over its standard streams.
    Program {
        /// The program and its arguments.
        command: Vec<String>,
        /// Where it runs.
        folder: Option<PathBuf>,
        /// Variables it is given, beside those that every program needs.
        environment: BTreeMap<String, String>,
    },
    /// An address that is spoken to over streamable HTTP.
    Address {
        /// `http://…` or `https://…`
        url: String,
        /// The variable of the environment that holds a bearer token.
        token_variable: Option<String>,
    },
}

/// A configuration that cannot be used. The display is one line for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidConfig {
    /// It is not in the form of a configuration.
    #[error("{0}")]
    Syntax(String),
    /// A server's table contradicts itself.
    #[error("[mcp.{label}]: {problem}")]
    Server {
        /// The server.
        label: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    mcp: BTreeMap<String, Table>,
    /// For another part of the program, which reads it.
    #[serde(default, rename = "gateway")]
    _gateway: serde::de::IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    command: Option<Vec<String>>,
    folder: Option<PathBuf>,
    environment: Option<BTreeMap<String, String>>,
    url: Option<String>,
    token_variable: Option<String>,
}

impl Config {
    /// Reads a configuration file. Each server is a table `[mcp.LABEL]` with either `command` (a
    /// list; also `folder` and `environment`) or `url` (also `token_variable`).
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidConfig> {
        let file: File = toml::from_str(text)
            .map_err(|error| InvalidConfig::Syntax(error.to_string().trim().replace('\n', " ")))?;
        let mut servers = BTreeMap::new();
        for (label, table) in file.mcp {
            let endpoint = table
                .endpoint()
                .map_err(|problem| InvalidConfig::Server { label: label.clone(), problem })?;
            servers.insert(label, endpoint);
        }
        Ok(Self { servers })
    }

    /// The labels of the servers.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(String::as_str)
    }

    pub(crate) fn into_servers(self) -> BTreeMap<String, Endpoint> {
        self.servers
    }
}

impl Table {
    fn endpoint(self) -> Result<Endpoint, String> {
        let Self { command, folder, environment, url, token_variable } = self;
        match (command, url) {
            (Some(command), None) => {
                if command.first().is_none_or(String::is_empty) {
                    return Err("'command' is empty; it begins with a program".to_owned());
                }
                if token_variable.is_some() {
                    return Err("'token_variable' goes with 'url'; use 'environment'".to_owned());
                }
                Ok(Endpoint::Program {
                    command,
                    folder,
                    environment: environment.unwrap_or_default(),
                })
            }
            (None, Some(url)) => {
                if !url.starts_with("http://") && !url.starts_with("https://") {
                    return Err(format!("'url' is {url:?}; it begins with http:// or https://"));
                }
                if folder.is_some() || environment.is_some() {
                    return Err("'folder' and 'environment' go with 'command'".to_owned());
                }
                Ok(Endpoint::Address { url, token_variable })
            }
            _ => Err("give either 'command' or 'url'".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_named() {
        let cases = [
            ("[mcp.a]\ncommand = [\"x\"]\nurl = \"http://x\"", "[mcp.a]: give either"),
            ("[mcp.a]", "[mcp.a]: give either"),
            ("[mcp.a]\ncommand = []", "'command' is empty"),
            ("[mcp.a]\ncommand = [\"x\"]\ntoken_variable = \"T\"", "'token_variable' goes with"),
            ("[mcp.a]\nurl = \"ftp://x\"", "begins with http"),
            ("[mcp.a]\nurl = \"http://x\"\nfolder = \"/\"", "go with 'command'"),
            ("[mcp.a]\nurls = \"http://x\"", "unknown field `urls`"),
            ("[servers]", "unknown field `servers`"),
            ("[mcp", "TOML parse error"),
        ];
        for (text, problem) in cases {
            let error = Config::parse(text).expect_err(text).to_string();
            assert!(error.contains(problem) && !error.contains('\n'), "{text}: {error}");
        }
        assert_eq!(Config::parse("").expect("nothing is valid"), Config::default());
    }
}
