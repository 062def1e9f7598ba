//! Serves a model that writes what the last message of the user spells, with the tokenizer and the
//! template of the Phi-4-mini family; spellings of control tokens become these tokens. Shows what a
//! server makes of anything that a model may write.
//!
//! `cargo run -p phial-serve --example scripted -- 127.0.0.1:8000`

use std::sync::Arc;

use phial_engine::{Engine, Limits};
use phial_model::{
    Batch, Forward, KvElement, KvLayout, KvPool, Logits, Outputs, Regime, Scratch, Span, TokenId,
};
use phial_serve::{EngineHandle, ServedModel, Server, ServerOptions};
use phial_text::{ChatTemplate, SpecialTokens, Tokenizer};

const MODEL: &str = "scripted/phi4";
const CONTEXT: usize = 32_768;

struct Scripted {
    tokenizer: Arc<Tokenizer>,
    user: TokenId,
    assistant: TokenId,
    end: TokenId,
}

impl Scripted {
    fn new(tokenizer: Arc<Tokenizer>) -> Self {
        let token = |text| tokenizer.token_id(text).expect("a token of the family");
        let (user, assistant, end) = (token("<|user|>"), token("<|assistant|>"), token("<|end|>"));
        Self { tokenizer, user, assistant, end }
    }

    /// All tokens of the sequence, those of the span included, which it keeps where a real model
    /// keeps keys and values.
    fn read(span: &Span<'_>, kv: &mut KvPool) -> Vec<TokenId> {
        let place = |position| {
            let at = position % KvPool::BLOCK_TOKENS * size_of::<TokenId>();
            (span.blocks[position / KvPool::BLOCK_TOKENS], at)
        };
        let end = span.start + span.tokens.len();
        for (position, token) in (span.start..end).zip(span.tokens) {
            let (block, at) = place(position);
            kv.block_mut(0, block)[at..][..size_of::<TokenId>()]
                .copy_from_slice(&token.to_le_bytes());
        }
        let token = |position| {
            let (block, at) = place(position);
            let bytes = kv.block(0, block)[at..].first_chunk().expect("a whole token");
            TokenId::from_le_bytes(*bytes)
        };
        (0..end).map(token).collect()
    }

    /// What follows `tokens`.
    fn next(&self, tokens: &[TokenId]) -> TokenId {
        let Some(reply) = tokens.iter().rposition(|&token| token == self.assistant) else {
            return self.end;
        };
        let Some(asked) = tokens[..reply].iter().rposition(|&token| token == self.user) else {
            return self.end;
        };
        let asked = tokens[asked + 1..reply].split(|&token| token == self.end).next();
        let script = self.tokenizer.decode(asked.unwrap_or_default(), false);
        let script = self.tokenizer.encode(&script, SpecialTokens::Recognise);
        script.get(tokens.len() - reply - 1).copied().unwrap_or(self.end)
    }
}

fn rows(span: &Span<'_>) -> usize {
    match span.outputs {
        Outputs::None | Outputs::Hidden => 0,
        Outputs::Last(rows) => rows,
    }
}

impl Forward for Scripted {
    fn vocabulary(&self) -> usize {
        self.tokenizer.vocabulary_size()
    }

    fn context_max(&self) -> usize {
        CONTEXT
    }

    fn rope_regime(&self, _total_tokens: usize) -> Regime {
        Regime::Short
    }

    fn kv_layout(&self) -> KvLayout {
        KvLayout { layers: 1, kv_heads: 1, head_dim: 2, element: KvElement::F32 }
    }

    fn forward<'s>(
        &self,
        batch: &Batch<'_>,
        kv: &mut KvPool,
        scratch: &'s mut Scratch,
    ) -> Logits<'s> {
        let vocabulary = self.vocabulary();
        let values = scratch.logits_mut(batch.spans.iter().map(rows).sum(), vocabulary);
        values.fill(0.0);
        let mut places = values.chunks_exact_mut(vocabulary);
        for span in batch.spans {
            let tokens = Self::read(span, kv);
            for row in (0..rows(span)).rev() {
                let next = self.next(&tokens[..tokens.len() - row]);
                if let Some(values) = places.next() {
                    values[next as usize] = 50.0;
                }
            }
        }
        Logits { values, vocabulary }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let tokenizer = Arc::new(Tokenizer::phi4());
    let model: Arc<dyn Forward> = Arc::new(Scripted::new(Arc::clone(&tokenizer)));
    let engine = Engine::new(model, Some(Arc::clone(&tokenizer)), Limits::default(), 7)?;
    let model = ServedModel {
        id: MODEL.to_owned(),
        created: 0,
        stop_tokens: tokenizer.end_of_turn_ids(),
        tokenizer,
        template: Arc::new(ChatTemplate::Phi4),
        context_tokens: CONTEXT,
    };
    // Shows what becomes of calls as a model without constraints writes them.
    let options = ServerOptions { constrain_free_calls: false, ..ServerOptions::default() };
    let server = Server::new(model, EngineHandle::start(engine), options);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("{MODEL} is listening on http://{}", listener.local_addr()?);
    phial_serve::serve(server, listener, std::future::pending()).await?;
    Ok(())
}
