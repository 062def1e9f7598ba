//! Quality is not paid for speed: fast arithmetic leads no further away from float32 than
//! llama.cpp's does on the same file and text. What llama.cpp loses was measured by
//! `cargo xtask divergence`; what Phial loses is measured here.

mod driving;

use std::fs;
use std::path::{Path, PathBuf};

use driving::{Golden, argmax, goldens, phial, succeed};
use phial_model::{
    Batch, BlockId, Forward, KvElement, KvPool, LoadOptions, Model, Outputs, Precision, Scratch,
    Span,
};
use serde_json::Value;

/// How Phial runs a model.
struct Setting {
    name: &'static str,
    precision: Precision,
    element: KvElement,
}

const fn setting(name: &'static str, precision: Precision, element: KvElement) -> Setting {
    Setting { name, precision, element }
}

/// What is run by default: small models, and large ones with a short and with a long context.
const SMALL: Setting = setting("small", Precision::Auto, KvElement::F16);
const LARGE: Setting = setting("large", Precision::Large, KvElement::F16);
const LARGE_LONG: Setting = setting("large, int8", Precision::Large, KvElement::Int8);
/// On request.
const LARGE_INT4: Setting = setting("large, int4", Precision::Large, KvElement::Int4);

/// Divergence of next-token distributions from those of float32 arithmetic, in nats.
#[derive(Clone, Copy, Default)]
struct Loss {
    positions: usize,
    sum: f64,
    worst: f64,
    same_token: usize,
}

impl Loss {
    fn add(&mut self, exact: &[f32], fast: &[f32]) {
        let (p, q) = (log_softmax(exact), log_softmax(fast));
        let divergence: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
        self.positions += 1;
        self.sum += divergence;
        self.worst = self.worst.max(divergence);
        self.same_token += usize::from(argmax(exact) == argmax(fast));
    }

    fn mean(&self) -> f64 {
        self.sum / self.positions as f64
    }
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted = logits.iter().map(|logit| f64::from(logit - largest));
    let total: f64 = shifted.clone().map(f64::exp).sum();
    shifted.map(|logit| logit - total.ln()).collect()
}

/// Logits of every position of each text.
fn logits(path: &Path, setting: &Setting, texts: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let options = LoadOptions::new(setting.precision, Some(2)).expect("a tier");
    let mut model = Model::load(path, &options).unwrap_or_else(|error| panic!("{error}"));
    model.choose_kv(Some(setting.element), 512).expect("a type of keys and values");
    texts.iter().map(|text| read(&model, text)).collect()
}

fn read(model: &Model, text: &[u32]) -> Vec<f32> {
    let count = text.len().div_ceil(KvPool::BLOCK_TOKENS);
    let blocks: Vec<_> = (0..count as u32).map(BlockId).collect();
    let mut kv = KvPool::new(model.kv_layout(), count);
    let span = Span {
        tokens: text,
        start: 0,
        blocks: &blocks,
        regime: model.rope_regime(text.len()),
        adapter: None,
        outputs: Outputs::Last(text.len()),
    };
    model.forward(&Batch { spans: &[span] }, &mut kv, &mut Scratch::new()).values.to_vec()
}

/// What each setting loses on a file.
fn losses<const N: usize>(
    path: &Path,
    vocabulary: usize,
    texts: &[Vec<u32>],
    settings: [&Setting; N],
) -> [Loss; N] {
    let exact = logits(path, &setting("f32", Precision::F32, KvElement::F32), texts);
    settings.map(|setting| {
        let mut loss = Loss::default();
        for (exact, fast) in exact.iter().zip(logits(path, setting, texts)) {
            let rows = exact.chunks_exact(vocabulary).zip(fast.chunks_exact(vocabulary));
            rows.for_each(|(exact, fast)| loss.add(exact, fast));
        }
        let Loss { positions, worst, same_token, .. } = loss;
        let (mean, name) = (loss.mean(), setting.name);
        let file = path.file_name().unwrap_or_default().display();
        println!("{file} {name}: mean {mean:.2e}, worst {worst:.2e}, {same_token} of {positions}");
        loss
    })
}

/// What was measured of llama.cpp.
struct Peer(Value);

impl Peer {
    fn open() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/divergence.json");
        Self(serde_json::from_slice(&fs::read(path).expect("the record")).expect("JSON"))
    }

    /// Mean and worst divergence on a file, of so many positions.
    fn figures(&self, file: &str, positions: usize, engine: &str) -> (f64, f64) {
        let files = self.0["files"].as_array().expect("files");
        let found = files.iter().find(|entry| entry["file"] == file);
        let entry = found.unwrap_or_else(|| panic!("{file} in bench/divergence.json"));
        assert_eq!(entry["positions"], positions, "{file}: the record is of another text");
        let figures = &entry["engines"][engine];
        let number = |name: &str| figures[name].as_f64().expect("a figure");
        (number("mean_divergence"), number("worst_divergence"))
    }
}

#[test]
fn quantised_goldens_lose_no_more_than_with_llama_cpp() {
    let peer = Peer::open();
    let golden = Golden::open("gguf-q/golden.safetensors");
    let texts = [golden.ids("ids")];
    let mut paths: Vec<PathBuf> =
        fs::read_dir(goldens("gguf-q")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    assert_eq!(paths.len(), 13);
    // The random weights of these files magnify every error: a worst position, and what 8-bit keys
    // and values lose on one file, are held over all files.
    let (mut worst, mut peer_worst) = (0.0_f64, 0.0_f64);
    let (mut long_sum, mut peer_sum, mut peer_eight_sum) = (0.0, 0.0, 0.0);
    for path in &paths {
        let file = format!("gguf-q/{}", path.file_name().unwrap().display());
        let [small, large, long] = losses(path, 2048, &texts, [&SMALL, &LARGE, &LARGE_LONG]);
        let llama = |engine| peer.figures(&file, texts[0].len(), engine);
        let (mean, most) = llama("llama.cpp");
        assert!(small.mean() <= mean / 100.0, "{file}: {} {mean}", small.mean());
        assert!(small.worst <= most / 100.0, "{file}: {} {most}", small.worst);
        assert!(large.mean() <= mean, "{file}: {} {mean}", large.mean());
        worst = worst.max(large.worst);
        peer_worst = peer_worst.max(most);
        long_sum += long.mean();
        peer_sum += mean;
        peer_eight_sum += llama("llama.cpp, q8_0").0;
    }
    assert!(worst <= peer_worst, "{worst} {peer_worst}");
    assert!(long_sum <= peer_sum && long_sum <= peer_eight_sum, "{long_sum} {peer_sum}");
}

#[test]
fn the_starter_loses_no_more_than_with_llama_cpp() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("starter-store");
    fs::create_dir_all(&home).unwrap();
    succeed(phial(&home).args(["pull", "starter"]));
    let golden: Value =
        serde_json::from_slice(&fs::read(goldens("starter.json")).unwrap()).unwrap();
    let path = home.join("models/starter").join(golden["model"].as_str().unwrap());
    let ids = |value: &Value| -> Vec<u32> {
        value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let chats = golden["chat"].as_array().unwrap().iter();
    let mut texts: Vec<_> = chats
        .map(|chat| [ids(&chat["prompt_ids"]), ids(&chat["continuation_ids"])].concat())
        .collect();
    texts.push(ids(&golden["text"]["ids"]));
    let settings = [&SMALL, &LARGE, &LARGE_LONG, &LARGE_INT4];
    let [small, large, long, four_bits] = losses(&path, 49_152, &texts, settings);
    let peer = Peer::open();
    let llama = |engine| peer.figures("starter", small.positions, engine);
    let (mean, worst) = llama("llama.cpp");
    assert!(small.mean() <= mean / 1000.0 && small.worst <= worst / 100.0);
    assert!(large.mean() <= mean && large.worst <= worst);
    assert!(long.mean() <= llama("llama.cpp, q8_0").0);
    assert!(four_bits.mean() <= llama("llama.cpp, q4_0").0);
}
