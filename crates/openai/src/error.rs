//! Errors as clients read them.

use std::fmt;

use serde::Serialize;

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// The error itself; clients unwrap it.
    pub error: ErrorObject,
}

/// What went wrong. All four keys are always present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorObject {
    /// For a person.
    pub message: String,
    /// The family of the error: `invalid_request_error`, `server_error`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The field at fault, as a path into the request (`messages[0].content`).
    pub param: Option<String>,
    /// For a program.
    pub code: Option<&'static str>,
}

/// A request that asks for something that cannot be done, whoever answers it: status 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRequest {
    /// For a person; names the field and what was expected.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// For a program.
    pub code: Option<&'static str>,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for InvalidRequest {}

impl InvalidRequest {
    /// The body is no JSON at all. Where it breaks is told, what it says is not repeated.
    pub fn syntax(error: &serde_json::Error) -> Self {
        Self {
            message: format!(
                "We could not parse the JSON body of your request: invalid JSON at line {}, \
                 column {}.",
                error.line(),
                error.column()
            ),
            param: None,
            code: Some("invalid_json"),
        }
    }

    /// A field that must be there is not.
    pub fn missing(param: impl Into<String>) -> Self {
        let param = param.into();
        Self {
            message: format!("Missing required parameter: '{param}'."),
            param: Some(param),
            code: Some("missing_required_parameter"),
        }
    }

    /// A field has the wrong type; `expected` and `actual` with their articles.
    pub fn wrong_type(param: impl Into<String>, expected: &str, actual: &str) -> Self {
        let param = param.into();
        Self {
            message: format!(
                "Invalid type for '{param}': expected {expected}, but got {actual} instead."
            ),
            param: Some(param),
            code: Some("invalid_type"),
        }
    }

    /// A field has the right type and a wrong value.
    pub fn value(param: impl Into<String>, problem: impl fmt::Display) -> Self {
        let param = param.into();
        Self {
            message: format!("Invalid '{param}': {problem}"),
            param: Some(param),
            code: Some("invalid_value"),
        }
    }

    /// No field of this name exists.
    pub fn unknown(param: impl Into<String>) -> Self {
        let param = param.into();
        Self {
            message: format!("Unknown parameter: '{param}'."),
            param: Some(param),
            code: Some("unknown_parameter"),
        }
    }

    /// A field, or this value of it, would change the answer and is not offered.
    pub fn unsupported(param: impl Into<String>) -> Self {
        let param = param.into();
        Self {
            message: format!("Unsupported parameter: '{param}' is not supported by this server."),
            param: Some(param),
            code: Some("unsupported_parameter"),
        }
    }

    /// Like [`InvalidRequest::unsupported`], saying what is.
    pub fn unsupported_beyond(param: impl Into<String>, offered: &str) -> Self {
        let mut error = Self::unsupported(param);
        error.message.pop();
        error.message.push_str(" beyond ");
        error.message.push_str(offered);
        error.message.push('.');
        error
    }

    /// Like [`InvalidRequest::unsupported`], for a field that another one has replaced.
    pub fn unsupported_instead(param: impl Into<String>, instead: &str) -> Self {
        let mut error = Self::unsupported(param);
        error.message.push_str(&format!(" Use '{instead}' instead."));
        error
    }
}
