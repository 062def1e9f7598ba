//! Fields that would change the answer and are not offered.
//!
//! A request that asks for one is refused: an answer that silently leaves it out is worse than
//! none. Values that ask for nothing (an empty list, `false`, the default) pass.

use serde_json::Value;

use crate::error::InvalidRequest;
use crate::fields::Fields;

/// Official fields, and those that other servers have added, refused whatever they say.
const REFUSED: &[&str] = &[
    "add_generation_prompt",
    "audio",
    "best_of",
    "chat_template",
    "chat_template_kwargs",
    "continue_final_message",
    "documents",
    "echo",
    "grammar",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "json_schema",
    "length_penalty",
    "lora",
    "min_tokens",
    "mirostat",
    "reasoning",
    "reasoning_effort",
    "stop_token_ids",
    "structured_outputs",
    "suffix",
    "thinking",
    "truncate_prompt_tokens",
    "typical_p",
    "use_beam_search",
    "web_search_options",
];

/// Fields that pass with these values and are refused with any other.
const REFUSED_UNLESS: &[(&str, &[&str])] =
    &[("service_tier", &["auto", "default"]), ("verbosity", &["medium"])];

/// Refuses what is not offered.
pub(crate) fn check(fields: &Fields<'_>) -> Result<(), InvalidRequest> {
    for (name, value) in fields.iter() {
        if REFUSED.contains(&name) {
            return Err(InvalidRequest::unsupported(fields.path(name)));
        }
        if let Some((_, passing)) = REFUSED_UNLESS.iter().find(|(refused, _)| *refused == name)
            && !value.as_str().is_some_and(|value| passing.contains(&value))
        {
            let offered = format!("'{}'", passing.join("' and '"));
            return Err(InvalidRequest::unsupported_beyond(fields.path(name), &offered));
        }
    }
    if fields.boolean("store")? == Some(true) {
        return Err(InvalidRequest::unsupported_beyond(fields.path("store"), "'false'"));
    }
    if let Some(list) = fields.array("modalities")?
        && list.iter().any(|modality| modality != "text")
    {
        return Err(InvalidRequest::unsupported_beyond(fields.path("modalities"), "'text'"));
    }
    if let Some(format) = fields.object("response_format")? {
        format.required("type")?;
        if format.get("type") != Some(&Value::from("text")) {
            return Err(InvalidRequest::unsupported_beyond(
                fields.path("response_format"),
                "type 'text'",
            ));
        }
    }
    Ok(())
}
