//! LoRA adapters in PEFT layout: `adapter_config.json` and `adapter_model.safetensors`.

use std::path::Path;

use phial_formats::{Safetensors, WeightSource};
use phial_tensor::Tensor;
use serde_json::Value;

use crate::config::Config;
use crate::error::Error;
use crate::linear::{Arithmetic, Compute, Linear, LowRank};
use crate::packs::Packs;

/// Low-rank additions of one layer, by projection.
#[derive(Default)]
pub(crate) struct LayerAdapter {
    pub(crate) qkv: Vec<LowRank>,
    pub(crate) output: Vec<LowRank>,
    pub(crate) gate_up: Vec<LowRank>,
    pub(crate) down: Vec<LowRank>,
}

/// One adapter: additions to every layer it has weights for.
pub(crate) struct Adapter {
    pub(crate) layers: Vec<LayerAdapter>,
}

/// Where a projection's outputs stand within the fused one.
struct Target {
    /// Column of its first output, and how many there are.
    outputs: (usize, usize),
    inputs: usize,
}

struct Reader<'a> {
    config: &'a Config,
    origin: String,
    rank: usize,
    scale: f32,
    compute: &'a Compute,
}

impl Adapter {
    /// Reads the adapter in `folder`.
    ///
    /// # Errors
    /// Files that are missing or broken, kinds other than plain LoRA, shapes that do not fit.
    pub(crate) fn load(folder: &Path, config: &Config, compute: &Compute) -> Result<Self, Error> {
        let path = folder.join("adapter_config.json");
        let text = std::fs::read_to_string(&path)
            .map_err(|source| Error::Io { path: path.clone(), source })?;
        let (rank, scale) = settings(&text, &path.display().to_string())?;
        let weights = folder.join("adapter_model.safetensors");
        let file = Safetensors::open(&weights)?;
        let origin = weights.display().to_string();
        let reader = Reader { config, origin, rank, scale, compute };
        let mut layers: Vec<_> = (0..config.layers).map(|_| LayerAdapter::default()).collect();
        for info in file.tensors() {
            if let Some(stem) = info.name.strip_suffix(".lora_A.weight") {
                reader.add(&file, stem, &mut layers)?;
            } else if !info.name.ends_with(".lora_B.weight") {
                return Err(reader.wrong(&info.name, "is not supported; only plain LoRA is"));
            }
        }
        Ok(Self { layers })
    }
}

/// Rank and scale (`alpha / r`, or `alpha / sqrt(r)` for rank-stabilised adapters).
fn settings(text: &str, origin: &str) -> Result<(usize, f32), Error> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Error::config(origin, format!("not valid JSON: {error}")))?;
    let kind = value.get("peft_type").and_then(Value::as_str).unwrap_or("LORA");
    if kind != "LORA" {
        return Err(Error::config(origin, format!("peft_type {kind:?}; supported is \"LORA\"")));
    }
    let flag = |key: &str| value.get(key).is_some_and(|v| v.as_bool().unwrap_or(false));
    let filled =
        |key: &str| value.get(key).and_then(Value::as_object).is_some_and(|m| !m.is_empty());
    if flag("use_dora") || filled("rank_pattern") || filled("alpha_pattern") {
        let problem = "use_dora, rank_pattern and alpha_pattern are not supported";
        return Err(Error::config(origin, problem));
    }
    if let Some(bias) = value.get("bias").and_then(Value::as_str)
        && bias != "none"
    {
        return Err(Error::config(origin, format!("bias is {bias:?}; supported is \"none\"")));
    }
    let rank = value.get("r").and_then(Value::as_u64).and_then(|r| usize::try_from(r).ok());
    let alpha = value.get("lora_alpha").and_then(Value::as_f64);
    match (rank, alpha) {
        (Some(rank @ 1..), Some(alpha)) if alpha.is_finite() => {
            let divisor = if flag("use_rslora") { (rank as f64).sqrt() } else { rank as f64 };
            Ok((rank, (alpha / divisor) as f32))
        }
        _ => Err(Error::config(origin, "r and lora_alpha must be positive numbers")),
    }
}

impl Reader<'_> {
    /// Adds the pair of matrices under `stem` to its layer.
    fn add(
        &self,
        file: &Safetensors,
        stem: &str,
        layers: &mut [LayerAdapter],
    ) -> Result<(), Error> {
        let path = stem.strip_prefix("base_model.model.").unwrap_or(stem);
        let parts = path.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
        let Some((layer, module)) = parts else {
            return Err(self.wrong(stem, "is not a projection of a decoder layer"));
        };
        let layer = layer.parse().ok().filter(|layer: &usize| *layer < layers.len());
        let Some(layer) = layer else {
            return Err(self.wrong(stem, format!("is beyond the model's {} layers", layers.len())));
        };
        let config = self.config;
        let (hidden, wide) = (config.hidden, config.intermediate);
        let query = config.heads * config.head_dim;
        let key = config.kv_heads * config.head_dim;
        let place = &mut layers[layer];
        let (list, outputs, inputs) = match module {
            "self_attn.qkv_proj" => (&mut place.qkv, (0, query + 2 * key), hidden),
            "self_attn.q_proj" => (&mut place.qkv, (0, query), hidden),
            "self_attn.k_proj" => (&mut place.qkv, (query, key), hidden),
            "self_attn.v_proj" => (&mut place.qkv, (query + key, key), hidden),
            "self_attn.o_proj" => (&mut place.output, (0, hidden), query),
            "mlp.gate_up_proj" => (&mut place.gate_up, (0, 2 * wide), hidden),
            "mlp.gate_proj" => (&mut place.gate_up, (0, wide), hidden),
            "mlp.up_proj" => (&mut place.gate_up, (wide, wide), hidden),
            "mlp.down_proj" => (&mut place.down, (0, hidden), wide),
            _ => return Err(self.wrong(stem, "is not a projection of this decoder")),
        };
        list.push(self.pair(file, stem, &Target { outputs, inputs })?);
        Ok(())
    }

    fn pair(&self, file: &Safetensors, stem: &str, target: &Target) -> Result<LowRank, Error> {
        let down =
            self.matrix(file, &format!("{stem}.lora_A.weight"), [self.rank, target.inputs])?;
        let up =
            self.matrix(file, &format!("{stem}.lora_B.weight"), [target.outputs.1, self.rank])?;
        // Small, and quickly packed.
        let pack = |tensor| {
            Linear::pack(&[(stem, tensor)], Arithmetic::Fine, &mut Packs::Memory, self.compute)
        };
        Ok(LowRank { down: pack(down), up: pack(up), scale: self.scale, column: target.outputs.0 })
    }

    fn matrix(&self, file: &Safetensors, name: &str, shape: [usize; 2]) -> Result<Tensor, Error> {
        let tensor = file.tensor(name).ok_or_else(|| self.wrong(name, "is missing"))?;
        if tensor.shape != shape {
            let problem = format!("has shape {:?}, this model needs {shape:?}", tensor.shape);
            return Err(self.wrong(name, problem));
        }
        Ok(tensor)
    }

    fn wrong(&self, name: &str, problem: impl Into<String>) -> Error {
        Error::Tensor {
            origin: self.origin.clone(),
            name: name.to_owned(),
            problem: problem.into(),
        }
    }
}
