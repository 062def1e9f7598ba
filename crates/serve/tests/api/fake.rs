//! A model that says what it is told to, a tokenizer of single bytes, and a server of both.

use std::sync::Arc;
use std::time::Duration;

use phial_engine::Engine;
use phial_model::{
    Batch, Forward, KvElement, KvLayout, KvPool, Logits, Outputs, Regime, Scratch, Span, TokenId,
};
use phial_serve::{EngineHandle, ServedModel, Server, ServerOptions};
use phial_text::{ChatTemplate, Tokenizer, Vocabulary};

/// The name that the model is served under; with a slash, as the names of hubs have.
pub const MODEL: &str = "fake/echo";

/// Tokens of the context.
pub const CONTEXT: usize = 512;

const CONTROL: [&str; 7] = [
    "<|endoftext|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<|tool_call|>",
    "<|/tool_call|>",
];
const USER: TokenId = 258;
const ASSISTANT: TokenId = 259;
/// The token that ends a turn.
pub const END: TokenId = 260;
const CALL: TokenId = 261;
const CALL_END: TokenId = 262;

/// Repeats the last message, of the user or of a tool, but for these:
/// - `forever …` goes on with `x` until it is stopped;
/// - `random` goes on with letters, all equally probable;
/// - `noise …` goes on with anything, and rather with what ends a value of JSON;
/// - `hex 61ff` says these bytes;
/// - `call …` says the rest between the tokens that mark calls; `|` is the end of them;
/// - `end …` says the rest, ends its turn and, when that is ignored, says it again;
/// - `panic` panics when it should speak.
///
/// A text without a turn to speak in goes on with the letters after its last, up to `z`, and then
/// ends. The hidden state of a token is its id and 1.
pub struct EchoModel {
    /// Time that a step takes.
    pub step_time: Duration,
}

/// Bytes that the cache has for a position; the model keeps the token there.
const POSITION_BYTES: usize = 16;

impl EchoModel {
    pub fn new(step_time: Duration) -> Self {
        Self { step_time }
    }

    /// Keeps the span's tokens and gives those of the whole sequence.
    fn tokens(span: &Span<'_>, kv: &mut KvPool) -> Vec<TokenId> {
        let end = span.start + span.tokens.len();
        let place = |position: usize| {
            let block = span.blocks[position / KvPool::BLOCK_TOKENS];
            (block, position % KvPool::BLOCK_TOKENS * POSITION_BYTES)
        };
        for (position, token) in (span.start..end).zip(span.tokens) {
            let (block, at) = place(position);
            kv.block_mut(0, block)[at..][..4].copy_from_slice(&token.to_le_bytes());
        }
        let read = |position: usize| {
            let (block, at) = place(position);
            TokenId::from_le_bytes(kv.block(0, block)[at..][..4].try_into().expect("4 bytes"))
        };
        (0..end).map(read).collect()
    }

    /// The logits after `tokens`.
    fn speak(tokens: &[TokenId], row: &mut [f32]) {
        let Some(reply) = tokens.iter().rposition(|&token| token == ASSISTANT) else {
            row.fill(0.0);
            let last = tokens.last().copied().unwrap_or_default();
            let next = if last == TokenId::from(b'z') { END } else { (last + 1) % 256 };
            row[next as usize] = 50.0;
            row[(next as usize + 1) % row.len()] = 40.0;
            return;
        };
        let said = tokens.len() - reply - 1;
        let from = tokens.iter().rposition(|&token| token == USER).map_or(0, |index| index + 1);
        let until = reply - usize::from(tokens[reply - 1] == END);
        // The result of a tool, if one follows; its token is text for this vocabulary.
        let asked = tokens[from..until].rsplit(|&token| token == END).next().unwrap_or_default();
        let asked: Vec<u8> = asked.iter().map(|&token| token as u8).collect();
        let asked = String::from_utf8(asked).expect("prompts are text");
        let asked = asked.strip_prefix("<|tool_response|>").unwrap_or(&asked).to_owned();

        row.fill(0.0);
        if asked == "random" {
            row[usize::from(b'a')..=usize::from(b'z')].fill(50.0);
            return;
        }
        if asked.starts_with("noise") {
            b"\"}],: ".iter().for_each(|&byte| row[usize::from(byte)] = 3.0);
            return;
        }
        assert!(asked != "panic", "as asked");
        let next = script(&asked, said);
        row[next as usize] = 50.0;
        // A second choice, for lists of alternatives.
        row[(next as usize + 1) % row.len()] = 40.0;
    }
}

/// Token number `said` of the answer.
fn script(asked: &str, said: usize) -> TokenId {
    let bytes = if asked.starts_with("forever") {
        return TokenId::from(b'x');
    } else if let Some(digits) = asked.strip_prefix("hex ") {
        let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("digits"));
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect()
    } else if let Some(rest) = asked.strip_prefix("call ") {
        return std::iter::once(CALL)
            .chain(rest.bytes().map(|byte| if byte == b'|' { CALL_END } else { byte.into() }))
            .nth(said)
            .unwrap_or(END);
    } else if let Some(rest) = asked.strip_prefix("end ") {
        return rest.as_bytes().get(said % (rest.len() + 1)).map_or(END, |&b| TokenId::from(b));
    } else {
        asked.as_bytes().to_vec()
    };
    bytes.get(said).map_or(END, |&byte| TokenId::from(byte))
}

impl Forward for EchoModel {
    fn vocabulary(&self) -> usize {
        256 + CONTROL.len()
    }

    fn hidden_size(&self) -> usize {
        2
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
        std::thread::sleep(self.step_time);
        let vocabulary = self.vocabulary();
        let wanted = |span: &Span<'_>| match span.outputs {
            Outputs::None | Outputs::Hidden => 0,
            Outputs::Last(count) => count,
        };
        let read = batch.spans.iter().filter(|span| span.outputs == Outputs::Hidden);
        let hidden: Vec<f32> =
            read.flat_map(|span| span.tokens).flat_map(|&token| [token as f32, 1.0]).collect();
        scratch.hidden_mut(hidden.len()).copy_from_slice(&hidden);
        let values = scratch.logits_mut(batch.spans.iter().map(wanted).sum(), vocabulary);
        let mut rows = values.chunks_exact_mut(vocabulary);
        for span in batch.spans {
            let tokens = Self::tokens(span, kv);
            for end in tokens.len() - wanted(span)..tokens.len() {
                Self::speak(&tokens[..=end], rows.next().expect("a row"));
            }
        }
        Logits { values, vocabulary }
    }
}

/// A token per byte, and the control tokens of the template.
pub fn tokenizer() -> Tokenizer {
    let mut beyond = 0;
    let bytes = (0u8..=255).map(|byte| {
        // The byte-level alphabet: what prints stands for itself.
        let prints = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let character = if prints { u32::from(byte) } else { 256 + beyond };
        beyond += u32::from(!prints);
        char::from_u32(character).expect("a character").to_string()
    });
    let tokens: Vec<String> = bytes.chain(CONTROL.map(str::to_owned)).collect();
    let mut token_types = vec![1; 256];
    token_types.resize(tokens.len(), 3);
    Tokenizer::from_vocabulary(Vocabulary {
        tokens,
        token_types,
        pre: "gpt-2".to_owned(),
        model: "gpt2".to_owned(),
        eos: Some(END),
        ..Vocabulary::default()
    })
    .expect("a tokenizer of bytes")
}

/// Limits small enough to reach.
pub fn engine_limits() -> phial_engine::Limits {
    phial_engine::Limits { running_max: 4, waiting_max: 8, ..phial_engine::Limits::default() }
}

/// A server of the echo model, which is free to write calls as it likes where it is free to call.
pub fn server(step_time: Duration, limits: phial_engine::Limits, options: ServerOptions) -> Server {
    constrained_server(step_time, limits, ServerOptions { constrain_free_calls: false, ..options })
}

/// A server of the echo model with the options as they are.
pub fn constrained_server(
    step_time: Duration,
    limits: phial_engine::Limits,
    options: ServerOptions,
) -> Server {
    let tokenizer = Arc::new(tokenizer());
    let model: Arc<dyn Forward> = Arc::new(EchoModel::new(step_time));
    let engine = Engine::new(model, Some(Arc::clone(&tokenizer)), limits, 7).expect("an engine");
    let model = ServedModel {
        id: MODEL.to_owned(),
        created: 1_700_000_000,
        tokenizer,
        template: Arc::new(ChatTemplate::Phi4),
        stop_tokens: vec![END, 256],
        context_tokens: CONTEXT,
    };
    Server::new(model, EngineHandle::start(engine), options)
}
