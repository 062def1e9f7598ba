//! The lines of the files of a batch.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::batch::object::BatchError;
use crate::error::InvalidRequest;
use crate::fields::Fields;

/// A request of a batch: a line of its input file.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchLine {
    /// The client's name for it, unique in the file.
    pub custom_id: String,
    /// The body of the request.
    pub body: Value,
}

impl BatchLine {
    /// Reads line `number` (from 1) of a batch for `endpoint`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(line: &str, number: usize, endpoint: &str) -> Result<Self, BatchError> {
        Self::read_fields(line, endpoint).map_err(|error| BatchError {
            code: error.code.unwrap_or("invalid_request").to_owned(),
            message: error.message,
            param: error.param,
            line: Some(number),
        })
    }

    fn read_fields(line: &str, endpoint: &str) -> Result<Self, InvalidRequest> {
        let line: Value = serde_json::from_str(line).map_err(|error| InvalidRequest {
            message: format!("This line is not valid JSON: column {}.", error.column()),
            param: None,
            code: Some("invalid_json_line"),
        })?;
        let fields = Fields::of(&line, "")?;
        fields.known(&[&["body", "custom_id", "method", "url"]])?;
        fields.required("custom_id")?;
        let custom_id = fields.string("custom_id")?.unwrap_or_default();
        if custom_id.is_empty() {
            return Err(InvalidRequest::value("custom_id", "it is empty."));
        }
        fields.required("method")?;
        if fields.string("method")? != Some("POST") {
            return Err(InvalidRequest::value("method", "the only supported value is 'POST'."));
        }
        fields.required("url")?;
        if fields.string("url")? != Some(endpoint) {
            let problem = format_args!("the endpoint of this batch is '{endpoint}'.");
            return Err(InvalidRequest {
                code: Some("mismatched_endpoint"),
                ..InvalidRequest::value("url", problem)
            });
        }
        let body = fields.required("body")?;
        if Fields::of(body, "body")?.boolean("stream")? == Some(true) {
            let problem = "the requests of a batch are not streamed.";
            return Err(InvalidRequest::value("body.stream", problem));
        }
        Ok(Self { custom_id: custom_id.to_owned(), body: body.clone() })
    }
}

/// What became of a request: a line of the output or of the error file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchOutcome {
    /// `batch_req_…`
    pub id: String,
    /// The client's name for the request.
    pub custom_id: String,
    /// The answer, whatever its status.
    pub response: Option<BatchResponse>,
    /// Why there is no answer.
    pub error: Option<BatchFailure>,
}

/// An answer to a request of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchResponse {
    /// The HTTP status.
    pub status_code: u16,
    /// `req_…`
    pub request_id: String,
    /// The body.
    pub body: Value,
}

/// Why a request of a batch has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchFailure {
    /// `batch_expired` or `batch_cancelled`.
    pub code: String,
    /// For a person.
    pub message: String,
}
