//! How to reach a hub, as the environment tells it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::limits::Limits;

/// The hub asked when `HF_ENDPOINT` names no other.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// How to reach a hub. [`HubOptions::from_environment`] reads what the hub's own tools read.
/// Not `Debug`, so that the token cannot end up in a log.
#[derive(Clone)]
pub struct HubOptions {
    /// Its address, without a path (`HF_ENDPOINT`).
    pub endpoint: String,
    /// An access token (`HF_TOKEN`), sent to the endpoint's host only.
    pub token: Option<String>,
    /// Refuse every request (`HF_HUB_OFFLINE`, `--offline`).
    pub offline: bool,
    /// A PEM file of trusted certificates instead of the built-in ones (`SSL_CERT_FILE`).
    pub certificates: Option<PathBuf>,
    /// Bounds and patience.
    pub limits: Limits,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            token: None,
            offline: false,
            certificates: None,
            limits: Limits::default(),
        }
    }
}

impl HubOptions {
    /// From environment variables; `offline` adds to `HF_HUB_OFFLINE`.
    pub fn from_environment(offline: bool) -> Self {
        Self::from_variables(offline, |name| std::env::var_os(name))
    }

    fn from_variables(offline: bool, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
        let is_on = |value: String| {
            matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE")
        };
        Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token: text("HF_TOKEN"),
            offline: offline || text("HF_HUB_OFFLINE").is_some_and(is_on),
            certificates: set("SSL_CERT_FILE").map(PathBuf::from),
            limits: Limits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_from_the_variables_of_the_hubs_own_tools() {
        let options = HubOptions::from_variables(false, |name| match name {
            "HF_ENDPOINT" => Some("http://mirror.example/".into()),
            "HF_TOKEN" => Some("secret".into()),
            "HF_HUB_OFFLINE" => Some("true".into()),
            "SSL_CERT_FILE" => Some(OsString::new()),
            _ => None,
        });
        assert_eq!(options.endpoint, "http://mirror.example/");
        assert_eq!(options.token.as_deref(), Some("secret"));
        assert!(options.offline && options.certificates.is_none());
        let options = HubOptions::from_variables(false, |_| None);
        assert_eq!(options.endpoint, DEFAULT_ENDPOINT);
        assert!(!options.offline);
        assert!(HubOptions::from_variables(true, |_| None).offline);
    }
}
