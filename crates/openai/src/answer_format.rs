//! The form that an answer must have, under the names that the official API and other servers give
//! it.

use serde_json::Value;

use crate::error::InvalidRequest;
use crate::fields::{Fields, check_name, type_name};

/// What a whole answer must be, and where the request says so.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerFormat {
    /// What it must be.
    pub form: AnswerForm,
    /// The field that is at fault if that cannot be (`response_format`, `guided_regex`).
    pub param: String,
    /// What errors about a schema call it: `response_format 'person'`.
    pub title: String,
}

/// What a whole answer must be.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerForm {
    /// A JSON object.
    JsonObject,
    /// JSON that is valid against this schema.
    JsonSchema(Value),
    /// Text that this regular expression matches as a whole.
    Regex(String),
    /// One of these texts; at least one.
    Choice(Vec<String>),
    /// Text of this grammar in Lark's notation.
    Lark(String),
}

impl AnswerFormat {
    /// Fields of chat and of completions that [`AnswerFormat::read`] reads.
    pub(crate) const NAMES: &[&str] = &[
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "json_schema",
        "response_format",
        "structured_outputs",
    ];

    /// Reads all of them; at most one may ask for something.
    pub(crate) fn read(fields: &Fields<'_>) -> Result<Option<Self>, InvalidRequest> {
        let mut formats = Vec::new();
        formats.extend(read_response_format(fields)?);
        formats.extend(read_structured_outputs(fields)?);
        for (name, kind) in [
            ("guided_json", Kind::Json),
            ("guided_regex", Kind::Regex),
            ("guided_choice", Kind::Choice),
            ("guided_grammar", Kind::Lark),
            ("json_schema", Kind::Json),
        ] {
            formats.extend(kind.read(fields, name)?);
        }
        if let [_, second, ..] = &formats[..] {
            let problem = "the form of the answer is given already; give it once.";
            return Err(InvalidRequest::value(&second.param, problem));
        }
        Ok(formats.pop())
    }

    fn new(form: AnswerForm, param: String) -> Self {
        Self { form, title: param.clone(), param }
    }

    /// Reads `{"name": …, "schema": …}`; errors about the schema name `param`.
    fn named_schema(fields: &Fields<'_>, param: &str) -> Result<Self, InvalidRequest> {
        fields.required("name")?;
        let name = fields.string("name")?.unwrap_or_default();
        check_name(name, fields.path("name"))?;
        fields.string("description")?;
        // Schemas are enforced either way, or refused.
        fields.boolean("strict")?;
        let schema = fields.required("schema")?;
        Fields::of(schema, fields.path("schema"))?;
        Ok(Self {
            form: AnswerForm::JsonSchema(schema.clone()),
            param: param.to_owned(),
            title: format!("{param} '{name}'"),
        })
    }

    /// Reads `text.format` of the responses API, found in `text`.
    pub(crate) fn of_response(text: &Fields<'_>) -> Result<Option<Self>, InvalidRequest> {
        let Some(format) = text.object("format")? else { return Ok(None) };
        let param = text.path("format");
        format.required("type")?;
        match format.string("type")?.unwrap_or_default() {
            "text" => {
                format.known(&[&["type"]])?;
                Ok(None)
            }
            "json_object" => {
                format.known(&[&["type"]])?;
                Ok(Some(Self::new(AnswerForm::JsonObject, param)))
            }
            "json_schema" => {
                format.known(&[&["description", "name", "schema", "strict", "type"]])?;
                Self::named_schema(&format, &param).map(Some)
            }
            other => Err(unknown_type(&format, other)),
        }
    }

    /// Reads `output_config.format` or, as it was called before, `output_format` of the messages
    /// API.
    pub(crate) fn of_message(fields: &Fields<'_>) -> Result<Option<Self>, InvalidRequest> {
        let new = match fields.object("output_config")? {
            None => None,
            Some(config) => {
                if config.get("effort").is_some() {
                    return Err(InvalidRequest::unsupported(config.path("effort")));
                }
                config.known(&[&["format"]])?;
                config.object("format")?.map(|format| (format, config.path("format")))
            }
        };
        let old = fields.object("output_format")?.map(|old| (old, fields.path("output_format")));
        let (format, param) = match (new, old) {
            (None, None) => return Ok(None),
            (Some(given), None) | (None, Some(given)) => given,
            (Some(_), Some((_, param))) => {
                let problem = "'output_config.format' is given already; give only one of them.";
                return Err(InvalidRequest::value(param, problem));
            }
        };
        format.known(&[&["schema", "type"]])?;
        format.required("type")?;
        if format.string("type")? != Some("json_schema") {
            return Err(InvalidRequest::unsupported_beyond(format.path("type"), "'json_schema'"));
        }
        let schema = format.required("schema")?;
        Fields::of(schema, format.path("schema"))?;
        Ok(Some(Self::new(AnswerForm::JsonSchema(schema.clone()), param)))
    }
}

fn read_response_format(fields: &Fields<'_>) -> Result<Option<AnswerFormat>, InvalidRequest> {
    let Some(format) = fields.object("response_format")? else { return Ok(None) };
    let param = fields.path("response_format");
    format.required("type")?;
    match format.string("type")?.unwrap_or_default() {
        "text" => {
            format.known(&[&["type"]])?;
            Ok(None)
        }
        // With a schema, as llama.cpp and others have it.
        "json_object" => {
            format.known(&[&["schema", "type"]])?;
            let form = match format.get("schema") {
                None => AnswerForm::JsonObject,
                Some(schema) => {
                    Fields::of(schema, format.path("schema"))?;
                    AnswerForm::JsonSchema(schema.clone())
                }
            };
            Ok(Some(AnswerFormat::new(form, param)))
        }
        "json_schema" => {
            format.known(&[&["json_schema", "type"]])?;
            format.required("json_schema")?;
            let path = format.path("json_schema");
            let Some(named) = format.object("json_schema")? else {
                return Err(InvalidRequest::missing(path));
            };
            named.known(&[&["description", "name", "schema", "strict"]])?;
            AnswerFormat::named_schema(&named, &param).map(Some)
        }
        other => Err(unknown_type(&format, other)),
    }
}

fn unknown_type(format: &Fields<'_>, other: &str) -> InvalidRequest {
    let problem =
        format_args!("'{other}'. Supported values are: 'text', 'json_object' and 'json_schema'.");
    InvalidRequest::value(format.path("type"), problem)
}

/// As vLLM has it.
fn read_structured_outputs(fields: &Fields<'_>) -> Result<Option<AnswerFormat>, InvalidRequest> {
    let Some(outputs) = fields.object("structured_outputs")? else { return Ok(None) };
    // Of the fields that say how, none is offered, and `false` asks for nothing.
    let how = ["disable_additional_properties", "disable_any_whitespace", "disable_fallback"];
    for name in how {
        if outputs.boolean(name)? == Some(true) {
            return Err(InvalidRequest::unsupported(outputs.path(name)));
        }
    }
    for name in ["structural_tag", "whitespace_pattern"] {
        if outputs.get(name).is_some() {
            return Err(InvalidRequest::unsupported(outputs.path(name)));
        }
    }
    outputs.known(&[&["choice", "grammar", "json", "json_object", "regex"], &how])?;
    let mut formats = Vec::new();
    for (name, kind) in [
        ("json", Kind::Json),
        ("regex", Kind::Regex),
        ("choice", Kind::Choice),
        ("grammar", Kind::Lark),
    ] {
        formats.extend(kind.read(&outputs, name)?);
    }
    if outputs.boolean("json_object")? == Some(true) {
        formats.push(AnswerFormat::new(AnswerForm::JsonObject, outputs.path("json_object")));
    }
    match formats.len() {
        1 => Ok(formats.pop()),
        _ => Err(InvalidRequest::value(
            fields.path("structured_outputs"),
            "expected exactly one of 'json', 'regex', 'choice', 'grammar' and 'json_object'.",
        )),
    }
}

/// How a field says what an answer must be.
#[derive(Clone, Copy)]
enum Kind {
    /// A schema, or one as text.
    Json,
    Regex,
    Choice,
    Lark,
}

impl Kind {
    fn read(self, fields: &Fields<'_>, name: &str) -> Result<Option<AnswerFormat>, InvalidRequest> {
        if fields.get(name).is_none() {
            return Ok(None);
        }
        let param = fields.path(name);
        let text = || Ok::<_, InvalidRequest>(fields.string(name)?.unwrap_or_default().to_owned());
        let form = match self {
            Self::Json => AnswerForm::JsonSchema(read_schema(fields, name)?),
            Self::Regex => AnswerForm::Regex(text()?),
            Self::Lark => AnswerForm::Lark(text()?),
            Self::Choice => AnswerForm::Choice(read_choices(fields, name)?),
        };
        Ok(Some(AnswerFormat::new(form, param)))
    }
}

fn read_schema(fields: &Fields<'_>, name: &str) -> Result<Value, InvalidRequest> {
    match fields.get(name) {
        Some(schema @ Value::Object(_)) => Ok(schema.clone()),
        Some(Value::String(text)) => match serde_json::from_str(text) {
            Ok(schema @ Value::Object(_)) => Ok(schema),
            _ => {
                let problem = "the text is not a JSON Schema.";
                Err(InvalidRequest::value(fields.path(name), problem))
            }
        },
        other => {
            let actual = other.map_or("null", type_name);
            Err(InvalidRequest::wrong_type(fields.path(name), "an object", actual))
        }
    }
}

fn read_choices(fields: &Fields<'_>, name: &str) -> Result<Vec<String>, InvalidRequest> {
    let list = fields.array(name)?.map(Vec::as_slice).unwrap_or_default();
    let read = |(index, value): (usize, &Value)| match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => {
            let path = format!("{}[{index}]", fields.path(name));
            Err(InvalidRequest::wrong_type(path, "a string", type_name(value)))
        }
    };
    list.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Option<AnswerFormat>, InvalidRequest> {
        AnswerFormat::read(&Fields::of(body, "")?)
    }

    #[test]
    fn every_name_is_read() {
        let schema = || json!({"type": "object"});
        let of_schema = || AnswerForm::JsonSchema(schema());
        let named =
            json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema()}});
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        for (body, form, param) in [
            (json!({"response_format": named}), of_schema(), "response_format"),
            (
                json!({"response_format": {"type": "json_object", "schema": schema()}}),
                of_schema(),
                "response_format",
            ),
            (
                json!({"response_format": {"type": "json_object"}, "guided_json": null}),
                AnswerForm::JsonObject,
                "response_format",
            ),
            (json!({"json_schema": schema()}), of_schema(), "json_schema"),
            (json!({"guided_json": r#"{"type": "object"}"#}), of_schema(), "guided_json"),
            (json!({"guided_regex": "a"}), AnswerForm::Regex("a".into()), "guided_regex"),
            (
                json!({"guided_choice": ["a", "b"]}),
                AnswerForm::Choice(texts(&["a", "b"])),
                "guided_choice",
            ),
            (json!({"guided_grammar": "g"}), AnswerForm::Lark("g".into()), "guided_grammar"),
            (
                json!({"structured_outputs": {"regex": "a", "disable_fallback": false}}),
                AnswerForm::Regex("a".into()),
                "structured_outputs.regex",
            ),
            (
                json!({"structured_outputs": {"json_object": true}}),
                AnswerForm::JsonObject,
                "structured_outputs.json_object",
            ),
        ] {
            let format = read(&body).unwrap().unwrap();
            assert_eq!((format.form, format.param.as_str()), (form, param), "{body}");
        }
        assert_eq!(read(&json!({"response_format": {"type": "text"}})), Ok(None));
        assert_eq!(read(&json!({})), Ok(None));
    }

    #[test]
    fn mistakes_are_told_by_their_field() {
        for (body, param, code) in [
            (json!({"response_format": "json"}), "response_format", "invalid_type"),
            (json!({"response_format": {}}), "response_format.type", "missing_required_parameter"),
            (json!({"response_format": {"type": "xml"}}), "response_format.type", "invalid_value"),
            (
                json!({"response_format": {"type": "text", "schema": {}}}),
                "response_format.schema",
                "unknown_parameter",
            ),
            (
                json!({"response_format": {"type": "json_schema"}}),
                "response_format.json_schema",
                "missing_required_parameter",
            ),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}),
                "response_format.json_schema.schema",
                "missing_required_parameter",
            ),
            (
                json!({"response_format": {"type": "json_schema",
                    "json_schema": {"name": "a b", "schema": {}}}}),
                "response_format.json_schema.name",
                "invalid_value",
            ),
            (
                json!({"response_format": {"type": "json_object"}, "guided_regex": "a"}),
                "guided_regex",
                "invalid_value",
            ),
            (json!({"structured_outputs": {}}), "structured_outputs", "invalid_value"),
            (
                json!({"structured_outputs": {"json": {}, "regex": "a"}}),
                "structured_outputs",
                "invalid_value",
            ),
            (
                json!({"structured_outputs": {"structural_tag": "a"}}),
                "structured_outputs.structural_tag",
                "unsupported_parameter",
            ),
            (json!({"guided_choice": ["a", 1]}), "guided_choice[1]", "invalid_type"),
            (json!({"guided_json": "{"}), "guided_json", "invalid_value"),
            (json!({"guided_json": 1}), "guided_json", "invalid_type"),
        ] {
            let error = read(&body).unwrap_err();
            assert_eq!((error.param.as_deref(), error.code), (Some(param), Some(code)), "{body}");
        }
    }
}
