//! What is asked of a batch.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::InvalidRequest;
use crate::fields::Fields;
use crate::sampling::check_labels;

/// `POST /v1/batches`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRequest {
    /// The file with the requests.
    pub input_file_id: String,
    /// Where all of them go.
    pub endpoint: &'static str,
    /// Labels of the client.
    pub metadata: Option<BTreeMap<String, String>>,
}

impl BatchRequest {
    /// Where the requests of a batch may go.
    pub const ENDPOINTS: &[&str] =
        &["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"];

    /// The time that a batch has, in seconds.
    pub const WINDOW_SECONDS: u64 = 24 * 60 * 60;

    /// Reads the body of a request.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidRequest> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| InvalidRequest::syntax(&error))?;
        let fields = Fields::of(&body, "")?;
        fields.required("input_file_id")?;
        let input_file_id = fields.string("input_file_id")?.unwrap_or_default().to_owned();
        fields.required("endpoint")?;
        let endpoint = fields.string("endpoint")?.unwrap_or_default();
        let Some(endpoint) = Self::ENDPOINTS.iter().find(|known| **known == endpoint) else {
            let offered = Self::ENDPOINTS.join("', '");
            let problem = format_args!("'{endpoint}'. Supported values are: '{offered}'.");
            return Err(InvalidRequest::value("endpoint", problem));
        };
        fields.required("completion_window")?;
        if fields.string("completion_window")? != Some("24h") {
            let problem = "the only supported value is '24h'.";
            return Err(InvalidRequest::value("completion_window", problem));
        }
        fields.known(&[&[
            "completion_window",
            "endpoint",
            "input_file_id",
            "metadata",
            "output_expires_after",
        ]])?;
        check_labels(&fields)?;
        let metadata = fields.object("metadata")?.map(|labels| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            labels.iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
        });
        if fields.get("output_expires_after").is_some() {
            return Err(InvalidRequest::unsupported("output_expires_after"));
        }
        Ok(Self { input_file_id, endpoint, metadata })
    }
}
