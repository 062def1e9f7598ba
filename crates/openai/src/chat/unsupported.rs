//! Fields that would change the answer and are not offered.
//!
//! A request that asks for one is refused: an answer that silently leaves it out is worse than
//! none. Values that ask for nothing (an empty list, `false`, the default) pass.

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
    "length_penalty",
    "lora",
    "min_tokens",
    "mirostat",
    "moderation",
    "prompt_cache_options",
    "reasoning",
    "reasoning_effort",
    "stop_token_ids",
    "suffix",
    "thinking",
    "truncate_prompt_tokens",
    "typical_p",
    "use_beam_search",
    "web_search_options",
];

/// Fields that pass with these values and are refused with any other.
const REFUSED_UNLESS: &[(&str, &[&str])] = &[
    ("prompt_cache_retention", &["in_memory"]),
    ("service_tier", &["auto", "default"]),
    ("verbosity", &["medium"]),
];

/// Fields that are refused or pass by what they say.
pub(crate) const NAMES: &[&str] =
    &["modalities", "prompt_cache_retention", "service_tier", "store", "verbosity"];

/// Refuses what is not offered.
pub(crate) fn check(fields: &Fields<'_>) -> Result<(), InvalidRequest> {
    for (name, value) in fields.iter() {
        if name == "grammar" {
            return Err(grammar(fields));
        }
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
    Ok(())
}

/// llama.cpp's field for grammars in GBNF, a notation that nothing here reads.
pub(crate) fn grammar(fields: &Fields<'_>) -> InvalidRequest {
    InvalidRequest::unsupported_instead(
        fields.path("grammar"),
        "structured_outputs.grammar' (Lark's notation) or 'response_format",
    )
}
