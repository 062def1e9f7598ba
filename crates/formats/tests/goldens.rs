//! Files made by llama.cpp's quantiser and by gguf-py, against the values that gguf-py decodes
//! and against what our own quantiser makes of the same weights.

use std::path::PathBuf;

use phial_formats::gguf::Metadata;
use phial_formats::{Gguf, ModelFile, Safetensors, WeightSource};
use phial_tensor::{DType, Tensor, quant};

fn goldens(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens")).join(path)
}

/// The types of which there is a file.
const QUANTISED: [DType; 13] = [
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::Q8_0,
    DType::Q2_K,
    DType::Q3_K,
    DType::Q4_K,
    DType::Q5_K,
    DType::Q6_K,
    DType::IQ4_NL,
    DType::IQ4_XS,
    DType::TQ2_0,
];

/// Root mean square error of ours must stay below this multiple of llama.cpp's.
const RMS_RATIO_MAX: f64 = 1.02;

fn open(dtype: DType) -> Gguf {
    Gguf::open(goldens(&format!("gguf-q/{}.gguf", dtype.name()))).unwrap()
}

/// The matrices of the two layers and the embedding: GGUF name and original name.
fn matrices() -> Vec<(String, String)> {
    let mut names = vec![("token_embd.weight".to_owned(), "model.embed_tokens.weight".to_owned())];
    for layer in 0..2 {
        for (ours, original) in [
            ("attn_qkv", "self_attn.qkv_proj"),
            ("attn_output", "self_attn.o_proj"),
            ("ffn_up", "mlp.gate_up_proj"),
            ("ffn_down", "mlp.down_proj"),
        ] {
            names.push((
                format!("blk.{layer}.{ours}.weight"),
                format!("model.layers.{layer}.{original}.weight"),
            ));
        }
    }
    names
}

#[test]
fn decoded_values_are_exact() {
    let golden = Safetensors::open(goldens("gguf-q/golden.safetensors")).unwrap();
    assert_eq!(golden.integers("ids").unwrap().len(), 40);
    for dtype in QUANTISED {
        let file = open(dtype);
        let name = format!("{dtype:?}.blk.0.ffn_down.weight.rows0-3");
        let expected = golden.tensor(&name).unwrap();
        let found = file.tensor("blk.0.ffn_down.weight").unwrap();
        assert_eq!(found.dtype, dtype);
        assert_eq!(expected.columns(), found.columns());
        for row in 0..4 {
            let mut values = vec![0.0; found.columns()];
            quant::decode(dtype, found.row(row), &mut values);
            let mut reference = vec![0.0; found.columns()];
            quant::decode(DType::F32, expected.row(row), &mut reference);
            let same = values.iter().zip(&reference).all(|(a, b)| a == b);
            assert!(same, "{dtype:?} row {row}");
        }
    }
}

#[test]
fn metadata_and_shapes_are_read() {
    let file = open(DType::Q4_K);
    let metadata = file.metadata();
    assert_eq!(metadata.str("general.architecture").unwrap(), Some("phi3"));
    assert_eq!(metadata.required("phi3.embedding_length", Metadata::usize).unwrap(), 256);
    assert_eq!(metadata.u32("tokenizer.ggml.bos_token_id").unwrap(), Some(2000));
    assert_eq!(metadata.bool("tokenizer.ggml.add_bos_token").unwrap(), Some(false));
    assert_eq!(metadata.f32("phi3.rope.freq_base").unwrap(), Some(10000.0));
    let tokens = metadata.required("tokenizer.ggml.tokens", Metadata::strings).unwrap();
    assert_eq!((tokens.len(), tokens[2047]), (2048, "<unused2047>"));
    let types = metadata.required("tokenizer.ggml.token_type", Metadata::i32s).unwrap();
    assert_eq!((types.len(), types[0], types[2047]), (2048, 1, 5));
    assert_eq!(metadata.str("absent").unwrap(), None);

    let up = file.tensors().iter().find(|info| info.name == "blk.1.ffn_up.weight").unwrap();
    assert_eq!(up.shape, [1024, 256]);
    assert!(file.tensor("absent").is_none());

    let wrong = metadata.f32("general.architecture").unwrap_err().to_string();
    assert!(wrong.contains("`general.architecture` holds a string, not a float"), "{wrong}");
    let missing = metadata.required("absent", Metadata::usize).unwrap_err().to_string();
    assert!(missing.contains("q4_k.gguf: metadata key `absent` is missing"), "{missing}");
}

#[test]
fn quantising_is_as_good_as_llama_cpp() {
    let original = Safetensors::open(goldens("text-q")).unwrap();
    let mut table = String::new();
    let mut worst = 0.0_f64;
    for dtype in QUANTISED {
        let theirs = open(dtype);
        let (mut our_error, mut their_error) = (0.0, 0.0);
        let mut same_bytes = true;
        for (name, original_name) in matrices() {
            let values = original.tensor(&original_name).unwrap().to_f32();
            let found = theirs.tensor(&name).unwrap();
            assert_eq!(found.dtype, dtype, "{name}");
            let mut bytes = vec![0; found.bytes.len()];
            quant::encode(dtype, &values, &mut bytes);
            same_bytes &= bytes == *found.bytes;
            let ours = Tensor { bytes: bytes.into(), ..found.clone() };
            our_error += squared_error(&values, &ours.to_f32());
            their_error += squared_error(&values, &found.to_f32());
        }
        let ratio = (our_error / their_error).sqrt();
        let same = if same_bytes { ", same bytes" } else { "" };
        table += &format!("{}: {ratio:.5}{same}\n", dtype.name());
        worst = worst.max(ratio);
        if dtype.block_len() == 32 && dtype != DType::IQ4_NL {
            assert!(same_bytes, "{dtype:?} is the plain format, whose bytes are those of ggml");
        }
    }
    println!("{table}");
    assert!(worst <= RMS_RATIO_MAX, "ratios of root mean square errors, ours to theirs:\n{table}");
}

fn squared_error(values: &[f32], decoded: &[f32]) -> f64 {
    values.iter().zip(decoded).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[test]
fn model_file_tells_formats_apart() {
    let folder = ModelFile::open(goldens("text-tiny")).unwrap();
    assert!(matches!(folder, ModelFile::Safetensors(_)));
    assert!(folder.tensor("model.norm.weight").is_some());
    let file = ModelFile::open(goldens("gguf-q/q6_k.gguf")).unwrap();
    assert!(matches!(file, ModelFile::Gguf(_)));
    let error = ModelFile::open(goldens("text-q/config.json")).unwrap_err().to_string();
    assert!(error.contains("neither a GGUF nor a safetensors file"), "{error}");
}
