//! `tokenizer_config.json`: which tokens begin and end a document.

use crate::{Error, TokenId, Tokenizer};
use serde_json::Value;

impl Tokenizer {
    /// Takes `bos_token`, `eos_token`, `pad_token`, `unk_token`, `add_bos_token` and
    /// `add_eos_token` from a `tokenizer_config.json`; what it does not mention stays.
    pub fn with_tokenizer_config(mut self, json: &[u8]) -> Result<Self, Error> {
        let config: Value = serde_json::from_slice(json)
            .map_err(|error| Error::invalid(format!("tokenizer_config.json: {error}")))?;
        let token = |key: &str, present: Option<TokenId>| {
            // Either the text, or an object that holds it as `content`.
            let entry = &config[key];
            let Some(text) = entry.as_str().or_else(|| entry["content"].as_str()) else {
                return Ok(present);
            };
            self.token_id(text).or_else(|| self.table.find(text.as_bytes())).map(Some).ok_or_else(
                || Error::invalid(format!("tokenizer_config.json: {key} {text:?} is not a token")),
            )
        };
        let mut roles = self.roles;
        roles.bos = token("bos_token", roles.bos)?;
        roles.eos = token("eos_token", roles.eos)?;
        roles.padding = token("pad_token", roles.padding)?;
        roles.unknown = token("unk_token", roles.unknown)?;
        roles.add_bos = config["add_bos_token"].as_bool().unwrap_or(roles.add_bos);
        roles.add_eos = config["add_eos_token"].as_bool().unwrap_or(roles.add_eos);
        self.roles = roles;
        Ok(self)
    }
}
