//! `config.json` as Hugging Face models have it, of both ages: `rope_scaling` beside
//! `rope_theta`, or everything inside `rope_parameters`.

use serde_json::{Map, Value};

use super::{Config, Rope, RopePairs, RopeScaling, attention_factor};
use crate::error::Error;

struct Reader<'a> {
    origin: &'a str,
    object: &'a Map<String, Value>,
}

/// Reads a configuration; its values are not checked yet.
pub(crate) fn read(text: &str, origin: &str) -> Result<Config, Error> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Error::config(origin, format!("not valid JSON: {error}")))?;
    let object = value.as_object().ok_or_else(|| {
        Error::config(origin, "not a JSON object; is this a model's config.json?")
    })?;
    let reader = Reader { origin, object };
    let architecture = reader.architecture()?;
    for bias in ["attention_bias", "mlp_bias", "lm_head_bias"] {
        if object.get(bias).and_then(Value::as_bool) == Some(true) {
            return Err(Error::config(origin, format!("{bias} is set; biases are not supported")));
        }
    }
    if let Some(act) = object.get("hidden_act").and_then(Value::as_str)
        && act != "silu"
    {
        return Err(Error::config(origin, format!("hidden_act is {act:?}; supported is \"silu\"")));
    }
    let hidden = reader.size("hidden_size")?;
    let heads = reader.size("num_attention_heads")?;
    let head_dim = match reader.optional("head_dim")? {
        Some(value) => value,
        None => hidden.checked_div(heads).unwrap_or(0),
    };
    let context_max = reader.size("max_position_embeddings")?;
    Ok(Config {
        hidden,
        intermediate: reader.size("intermediate_size")?,
        layers: reader.size("num_hidden_layers")?,
        heads,
        kv_heads: reader.optional("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        vocabulary: reader.size("vocab_size")?,
        context_max,
        norm_epsilon: reader.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        tied: object.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false),
        rope: reader.rope(head_dim, context_max)?,
        architecture,
    })
}

impl Reader<'_> {
    fn architecture(&self) -> Result<String, Error> {
        let named = self.object.get("model_type").and_then(Value::as_str);
        match named {
            Some("phi3" | "llama") => Ok(named.unwrap_or_default().to_owned()),
            Some(other) => Err(self.wrong(format!(
                "model_type {other:?} is not supported; supported are \"phi3\" and \"llama\""
            ))),
            None => Err(self.wrong("model_type is missing; is this a model's config.json?")),
        }
    }

    fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::config(self.origin, problem)
    }

    fn size(&self, key: &str) -> Result<usize, Error> {
        self.optional(key)?.ok_or_else(|| self.wrong(format!("{key} is missing")))
    }

    fn optional(&self, key: &str) -> Result<Option<usize>, Error> {
        match self.object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_u64()
                .and_then(|value| usize::try_from(value).ok())
                .map(Some)
                .ok_or_else(|| self.wrong(format!("{key} is {value}; expected a whole number"))),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        number(self.object, key).map_err(|problem| self.wrong(problem))
    }

    fn rope(&self, head_dim: usize, context: usize) -> Result<Rope, Error> {
        let parameters = ["rope_parameters", "rope_scaling"]
            .into_iter()
            .find_map(|key| self.object.get(key).and_then(Value::as_object));
        let inside = |key: &str| match parameters {
            Some(parameters) => number(parameters, key).map_err(|problem| self.wrong(problem)),
            None => Ok(None),
        };
        let either = |key: &str| Ok::<_, Error>(inside(key)?.or(self.number(key)?));
        let partial = either("partial_rotary_factor")?.unwrap_or(1.0);
        let theta = either("rope_theta")?.unwrap_or(10_000.0);
        let dims = (head_dim as f64 * partial) as usize;
        let kind = parameters.and_then(|parameters| {
            ["rope_type", "type"].into_iter().find_map(|key| parameters.get(key)?.as_str())
        });
        let scaling = match (kind, parameters) {
            (None | Some("default"), _) | (_, None) => RopeScaling::None,
            (Some("longrope" | "su" | "yarn"), Some(parameters))
                if parameters.contains_key("short_factor") =>
            {
                let original =
                    either("original_max_position_embeddings")?.unwrap_or(context as f64) as usize;
                let given = inside("attention_factor")?.map(|factor| factor as f32);
                RopeScaling::Long {
                    short: self.factors(parameters, "short_factor")?,
                    long: self.factors(parameters, "long_factor")?,
                    original_context: original,
                    attention_factor: given.unwrap_or_else(|| attention_factor(context, original)),
                }
            }
            (Some("linear"), _) => {
                let factor = inside("factor")?.unwrap_or(1.0) as f32;
                RopeScaling::Factors(vec![factor; dims / 2])
            }
            (Some("llama3"), _) => {
                RopeScaling::Factors(llama3_factors(&inside, dims, theta, context as f64)?)
            }
            (Some(other), _) => {
                return Err(self.wrong(format!(
                    "rotary scaling {other:?} is not supported; supported are \"longrope\", \
                     \"llama3\" and \"linear\""
                )));
            }
        };
        Ok(Rope { dims, theta: theta as f32, pairs: RopePairs::Halves, scaling })
    }

    fn factors(&self, parameters: &Map<String, Value>, key: &str) -> Result<Vec<f32>, Error> {
        let wrong = || self.wrong(format!("rope_scaling.{key} is not a list of numbers"));
        let list = parameters.get(key).and_then(Value::as_array).ok_or_else(wrong)?;
        list.iter().map(|v| v.as_f64().map(|v| v as f32).ok_or_else(wrong)).collect()
    }
}

fn number(object: &Map<String, Value>, key: &str) -> Result<Option<f64>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            value.as_f64().map(Some).ok_or_else(|| format!("{key} is {value}; expected a number"))
        }
    }
}

/// Llama 3.1's frequency bands as divisors: high frequencies stay, low ones are divided by
/// `factor`, and between the two the change is linear in the number of turns.
fn llama3_factors(
    inside: &impl Fn(&str) -> Result<Option<f64>, Error>,
    dims: usize,
    theta: f64,
    context: f64,
) -> Result<Vec<f32>, Error> {
    let factor = inside("factor")?.unwrap_or(8.0);
    let low = inside("low_freq_factor")?.unwrap_or(1.0);
    let high = inside("high_freq_factor")?.unwrap_or(4.0);
    let original = inside("original_max_position_embeddings")?.unwrap_or(context);
    let one = |i: usize| {
        let wavelength = std::f64::consts::TAU * theta.powf(2.0 * i as f64 / dims as f64);
        let turns = original / wavelength;
        if turns > high {
            return 1.0;
        }
        if turns < low {
            return factor;
        }
        let smooth = (turns - low) / (high - low);
        1.0 / ((1.0 - smooth) / factor + smooth)
    };
    Ok((0..dims / 2).map(|i| one(i) as f32).collect())
}
