//! Any bytes as a tokenizer.json: an error or a tokenizer whose text comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phial_text::{ChatTemplate, Message, SpecialTokens, Tokenizer};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let Ok(tokenizer) = Tokenizer::from_tokenizer_json(bytes) else {
        return;
    };
    let ids = tokenizer.encode_bytes(bytes);
    let recognised = tokenizer.encode(&text, SpecialTokens::Recognise);
    for id in ids.into_iter().chain(recognised) {
        assert!(tokenizer.token_bytes(id).is_some());
    }
    if let Ok(template) = ChatTemplate::from_jinja(&text, &tokenizer) {
        let _ = template.render(&[Message::new("user", text)], None, true);
    }
    let vocabulary = tokenizer.to_vocabulary(0);
    assert!(vocabulary.pre == "unnamed" || Tokenizer::from_vocabulary(vocabulary).is_ok());
});
