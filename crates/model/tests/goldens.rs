//! The decoder against reference outputs made by other people's code (see `goldens/README.md`).

use std::path::{Path, PathBuf};

use phial_formats::{Safetensors, WeightSource};
use phial_model::{
    AdapterId, Batch, BlockId, Forward, KvPool, LoadOptions, Model, Outputs, Precision, Scratch,
    Span,
};

fn goldens(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(path)
}

fn load(path: &str, precision: Precision) -> Model {
    let options = LoadOptions::new(precision, Some(2)).expect("a tier");
    Model::load(&goldens(path), &options).unwrap_or_else(|error| panic!("{error}"))
}

/// Values made by the reference.
struct Golden(Safetensors);

impl Golden {
    fn open(path: &str) -> Self {
        Self(Safetensors::open(goldens(path)).expect("a golden file"))
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        let ids = self.0.integers(name).unwrap_or_else(|| panic!("{name} in the golden file"));
        ids.into_iter().map(|id| u32::try_from(id).expect("an id")).collect()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.0.tensor(name).unwrap_or_else(|| panic!("{name} in the golden file")).to_f32()
    }
}

/// One sequence with blocks of its own.
struct Sequence<'a> {
    model: &'a Model,
    kv: KvPool,
    scratch: Scratch,
    blocks: Vec<BlockId>,
    adapter: Option<AdapterId>,
}

impl<'a> Sequence<'a> {
    fn new(model: &'a Model, tokens_max: usize) -> Self {
        let count = tokens_max.div_ceil(KvPool::BLOCK_TOKENS);
        // Backwards, so that the order of blocks matters.
        let blocks = (0..count as u32).rev().map(BlockId).collect();
        let kv = KvPool::new(model.kv_layout(), count);
        Self { model, kv, scratch: Scratch::new(), blocks, adapter: None }
    }

    /// Logits of the last `last` of `tokens`, which start at `start` of a sequence that has
    /// `total` tokens.
    fn run(&mut self, tokens: &[u32], start: usize, total: usize, last: usize) -> Vec<f32> {
        let span = Span {
            tokens,
            start,
            blocks: &self.blocks,
            regime: self.model.rope_regime(total),
            adapter: self.adapter,
            outputs: Outputs::Last(last),
        };
        let batch = Batch { spans: &[span] };
        self.model.forward(&batch, &mut self.kv, &mut self.scratch).values.to_vec()
    }
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn argmax(row: &[f32]) -> u32 {
    let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(index, _)| index as u32)
}

#[test]
fn prompts_of_every_length_give_the_reference_logits() {
    for (folder, lengths) in
        [("text-tiny", [1, 20, 128, 129, 300]), ("text-q", [1, 40, 256, 257, 600])]
    {
        let golden = Golden::open(&format!("{folder}/golden.safetensors"));
        for precision in [Precision::F32, Precision::Auto] {
            let model = load(folder, precision);
            for length in lengths {
                let ids = golden.ids(&format!("len{length}.ids"));
                let mut sequence = Sequence::new(&model, length);
                let all = sequence.run(&ids, 0, length, length);
                let vocabulary = model.vocabulary();
                let best: Vec<u32> = all.chunks_exact(vocabulary).map(argmax).collect();
                let last = &all[(length - length.min(4)) * vocabulary..];
                let error = worst(last, &golden.floats(&format!("len{length}.logits_last4")));
                let name = format!("{folder} {precision:?} {length} tokens: error {error}");
                match precision {
                    Precision::F32 => {
                        assert!(error <= 1e-3, "{name}");
                        assert_eq!(best, golden.ids(&format!("len{length}.argmax")), "{name}");
                    }
                    // bf16 weights are exact; keys and values are rounded to f16.
                    Precision::Auto | Precision::Large => {
                        let expected = golden.floats(&format!("len{length}.logits_last4"));
                        let cosine = cosine(last, &expected);
                        assert!(cosine >= 0.999_95, "{name}, cosine {cosine}");
                    }
                }
            }
        }
    }
}

#[test]
fn hidden_states_are_what_the_head_reads() {
    let model = load("text-tiny", Precision::F32);
    let golden = Golden::open("text-tiny/golden.safetensors");
    let ids = golden.ids("len20.ids");
    let mut sequence = Sequence::new(&model, ids.len());
    let span = Span {
        tokens: &ids,
        start: 0,
        blocks: &sequence.blocks,
        regime: model.rope_regime(ids.len()),
        adapter: None,
        outputs: Outputs::Hidden,
    };
    let batch = Batch { spans: &[span] };
    let logits = model.forward(&batch, &mut sequence.kv, &mut sequence.scratch);
    assert_eq!(logits.rows(), 0);
    let width = model.hidden_size();
    let states = sequence.scratch.hidden();
    assert_eq!(states.len(), ids.len() * width);

    // The head is the embedding of this model.
    let weights = Golden::open("text-tiny/model.safetensors");
    let head = weights.floats("model.embed_tokens.weight");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let logits: Vec<f32> = states[(ids.len() - 4) * width..]
        .chunks_exact(width)
        .flat_map(|state| head.chunks_exact(width).map(move |row| dot(state, row)))
        .collect();
    let error = worst(&logits, &golden.floats("len20.logits_last4"));
    assert!(error <= 1e-3, "error {error}");

    // The next step has none, unless it is asked again.
    sequence.run(&ids, 0, ids.len(), 1);
    assert!(sequence.scratch.hidden().is_empty());
}

#[test]
fn a_prompt_in_chunks_is_the_prompt() {
    for precision in [Precision::F32, Precision::Auto] {
        let model = load("text-tiny", precision);
        let ids = Golden::open("text-tiny/golden.safetensors").ids("len300.ids");
        let expected = Sequence::new(&model, 300).run(&ids, 0, 300, 1);
        for chunk in [1, 7, 32, 100, 299] {
            let mut sequence = Sequence::new(&model, 300);
            let mut last = Vec::new();
            for (index, part) in ids.chunks(chunk).enumerate() {
                last = sequence.run(part, index * chunk, 300, 1);
            }
            // Batch-invariant kernels: not close, equal.
            assert!(last == expected, "{precision:?} chunks of {chunk}");
        }
    }
}

#[test]
fn greedy_text_crosses_the_boundary_as_the_reference_does() {
    for folder in ["text-tiny", "text-q"] {
        let golden = Golden::open(&format!("{folder}/golden.safetensors"));
        let expected = golden.ids("cross.ids");
        let prompt = golden.ids("cross.prompt_len")[0] as usize;
        let model = load(folder, Precision::F32);
        let mut sequence = Sequence::new(&model, expected.len());
        let mut ids = expected[..prompt].to_vec();
        let mut cached = 0;
        while ids.len() < expected.len() {
            let total = ids.len();
            if cached > 0 && model.rope_regime(total) != model.rope_regime(cached) {
                cached = 0;
            }
            let logits = sequence.run(&ids[cached..], cached, total, 1);
            cached = total;
            ids.push(argmax(&logits));
        }
        assert_eq!(ids, expected, "{folder}");
    }
}

#[test]
fn decoding_across_the_boundary_equals_a_fresh_prompt_at_every_length() {
    let model = load("text-tiny", Precision::F32);
    let ids = Golden::open("text-tiny/golden.safetensors").ids("len300.ids");
    let mut sequence = Sequence::new(&model, 300);
    sequence.run(&ids[..120], 0, 120, 1);
    for total in 121..140 {
        let start = if total == 129 { 0 } else { total - 1 };
        let decoded = sequence.run(&ids[start..total], start, total, 1);
        let fresh = Sequence::new(&model, 300).run(&ids[..total], 0, total, 1);
        assert!(decoded == fresh, "{total} tokens");
    }
}

#[test]
fn adapters_are_chosen_per_sequence_within_a_batch() {
    let golden = Golden::open("text-tiny/golden-lora.safetensors");
    let ids = golden.ids("ids");
    let mut model = load("text-tiny", Precision::F32);
    let adapters: Vec<_> = ["a", "b"]
        .iter()
        .map(|name| model.load_adapter(&goldens(&format!("text-tiny/adapter-{name}"))).unwrap())
        .collect();
    let cases = [("base", None), ("a", Some(adapters[0])), ("b", Some(adapters[1]))];
    let blocks: Vec<Vec<BlockId>> =
        (0..3).map(|i| vec![BlockId(2 * i), BlockId(2 * i + 1)]).collect();
    let spans: Vec<_> = cases
        .iter()
        .zip(&blocks)
        .map(|((_, adapter), blocks)| Span {
            tokens: &ids,
            start: 0,
            blocks,
            regime: model.rope_regime(ids.len()),
            adapter: *adapter,
            outputs: Outputs::Last(4),
        })
        .collect();
    let mut kv = KvPool::new(model.kv_layout(), 6);
    let mut scratch = Scratch::new();
    let logits = model.forward(&Batch { spans: &spans }, &mut kv, &mut scratch).values.to_vec();
    for (index, (name, adapter)) in cases.iter().enumerate() {
        let part = &logits[index * 4 * model.vocabulary()..][..4 * model.vocabulary()];
        let error = worst(part, &golden.floats(&format!("{name}.logits_last4")));
        assert!(error <= 1e-3, "adapter {name}: error {error}");
        let mut alone = Sequence::new(&model, ids.len());
        alone.adapter = *adapter;
        assert!(alone.run(&ids, 0, ids.len(), 4) == part, "adapter {name} alone");
    }
}

#[test]
fn every_encoding_gives_the_reference_logits() {
    let golden = Golden::open("gguf-q/golden.safetensors");
    let ids = golden.ids("ids");
    let types = [
        "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
        "IQ4_XS", "TQ2_0",
    ];
    for name in types {
        let expected = golden.floats(&format!("{name}.logits_last4"));
        let file = format!("gguf-q/{}.gguf", name.to_lowercase());
        let exact = load(&file, Precision::F32);
        let logits = Sequence::new(&exact, ids.len()).run(&ids, 0, ids.len(), 4);
        let error = worst(&logits, &expected);
        assert!(error <= 1e-3, "{name} in f32: error {error}");

        let fast = load(&file, Precision::Auto);
        let logits = Sequence::new(&fast, ids.len()).run(&ids, 0, ids.len(), 4);
        let vocabulary = fast.vocabulary();
        for (got, expected) in
            logits.chunks_exact(vocabulary).zip(expected.chunks_exact(vocabulary))
        {
            let cosine = cosine(got, expected);
            assert!(cosine >= 0.9995, "{name}: cosine {cosine}");
            let best = argmax(expected);
            let mut sorted = expected.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            if sorted[0] - sorted[1] > 0.5 {
                assert_eq!(argmax(got), best, "{name}: another best token");
            }
        }
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
