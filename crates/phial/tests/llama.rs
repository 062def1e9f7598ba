//! Llama models from safetensors: separate projections, a head of its own, and the order of rows
//! that GGUF files of that architecture have.

mod driving;

use std::fs;
use std::path::Path;

use driving::{logits, phial, succeed, worst};
use phial_formats::safetensors;
use phial_tensor::{DType, Tensor};
use serde_json::json;

const HIDDEN: usize = 64;
const MLP: usize = 96;
const LAYERS: usize = 2;
const VOCABULARY: usize = 80;
/// Rows of the projections of 4 query heads and 2 key heads of 16 elements.
const QUERY: usize = 64;
const KEY: usize = 32;

/// Values that look random and are the same everywhere.
fn tensor(seed: usize, shape: &[usize]) -> Tensor {
    let mut state = (seed as u32).wrapping_mul(2_654_435_769);
    let values = (0..shape.iter().product()).flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
        // Norms lie around one.
        let value = if shape.len() == 1 { 1.0 + value / 4.0 } else { value / 2.0 };
        value.to_le_bytes()
    });
    let bytes: Vec<u8> = values.collect();
    Tensor { dtype: DType::F32, shape: shape.to_vec(), bytes: bytes.into() }
}

fn make_model(folder: &Path) {
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
        ("lm_head.weight".to_owned(), vec![VOCABULARY, HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let parts = [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![QUERY, HIDDEN]),
            ("self_attn.k_proj", vec![KEY, HIDDEN]),
            ("self_attn.v_proj", vec![KEY, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, QUERY]),
            ("mlp.gate_proj", vec![MLP, HIDDEN]),
            ("mlp.up_proj", vec![MLP, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, MLP]),
        ];
        let named =
            parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}.weight"), shape));
        tensors.extend(named);
    }
    let made: Vec<_> =
        tensors.iter().enumerate().map(|(seed, (_, shape))| tensor(seed + 1, shape)).collect();
    let named: Vec<_> = tensors.iter().map(|(name, _)| name.as_str()).zip(&made).collect();
    fs::create_dir(folder).unwrap();
    safetensors::write(folder.join("model.safetensors"), &[("format", "pt")], &named).unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
        "intermediate_size": MLP, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": false,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

#[test]
fn a_gguf_file_gives_the_logits_of_its_safetensors() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("llama");
    make_model(&folder);
    let ids: Vec<u32> = (0..50).map(|i| i * 29 % VOCABULARY as u32).collect();
    let exact = ["--precision", "f32"];
    let expected = logits(home.path(), &folder, &ids, 4, &exact);
    let file = home.path().join("llama.gguf");
    let mut command = phial(home.path());
    succeed(command.arg("quantize").arg(&folder).arg(&file).args(["--type", "f32"]));
    let error = worst(&logits(home.path(), &file, &ids, 4, &exact), &expected.concat());
    assert!(error <= 1e-4, "{error}");
    // The order of positions must matter, or rotation was not tested.
    let mut turned = ids.clone();
    turned[..49].reverse();
    let other = logits(home.path(), &file, &turned, 4, &exact);
    assert!(worst(&other, &expected.concat()) > 1e-2);
}
