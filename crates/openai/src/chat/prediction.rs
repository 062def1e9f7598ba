//! What a client expects of the answer.

use serde_json::Value;

use crate::chat::message::read_parts;
use crate::error::InvalidRequest;
use crate::fields::{Fields, type_name};

/// The text of `prediction`; empty without one.
pub(crate) fn read_prediction(fields: &Fields<'_>) -> Result<String, InvalidRequest> {
    let Some(prediction) = fields.object("prediction")? else { return Ok(String::new()) };
    prediction.required("type")?;
    let kind = prediction.string("type")?.unwrap_or_default();
    if kind != "content" {
        return Err(InvalidRequest::value(
            prediction.path("type"),
            format_args!("'{kind}' is not a prediction. Supported values are: 'content'."),
        ));
    }
    match prediction.required("content")? {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => read_parts(parts, &prediction.path("content")),
        other => Err(InvalidRequest::wrong_type(
            prediction.path("content"),
            "a string or an array of content parts",
            type_name(other),
        )),
    }
}
