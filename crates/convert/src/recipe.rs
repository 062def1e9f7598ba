//! Which tensor gets which encoding.

use phial_tensor::{DType, quant};

use crate::error::Error;

/// A quantisation as people name it: a type for most matrices, and a finer one for those where it
/// pays. Mixes are those that llama.cpp's users know under the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    name: &'static str,
    body: DType,
    head: DType,
    qkv: DType,
    /// The type of `ffn_down` in the layers where it matters most.
    down: DType,
    /// llama.cpp's number for `general.file_type`.
    file_type: u32,
}

const fn plain(name: &'static str, body: DType, file_type: u32) -> Recipe {
    Recipe { name, body, head: body, qkv: body, down: body, file_type }
}

/// 4 and 5 bits keep the head, which every token is read from, at 6.
const fn mixed(name: &'static str, body: DType, file_type: u32) -> Recipe {
    Recipe { name, body, head: DType::Q6_K, qkv: body, down: body, file_type }
}

const RECIPES: &[Recipe] = &[
    plain("f32", DType::F32, 0),
    plain("f16", DType::F16, 1),
    plain("bf16", DType::BF16, 32),
    plain("q8_0", DType::Q8_0, 7),
    plain("q6_k", DType::Q6_K, 18),
    Recipe {
        name: "q5_k_m",
        body: DType::Q5_K,
        head: DType::Q6_K,
        qkv: DType::Q6_K,
        down: DType::Q6_K,
        file_type: 17,
    },
    mixed("q5_k_s", DType::Q5_K, 16),
    mixed("q5_1", DType::Q5_1, 9),
    mixed("q5_0", DType::Q5_0, 8),
    Recipe {
        name: "q4_k_m",
        body: DType::Q4_K,
        head: DType::Q6_K,
        qkv: DType::Q5_K,
        down: DType::Q6_K,
        file_type: 15,
    },
    mixed("q4_k_s", DType::Q4_K, 14),
    mixed("q4_1", DType::Q4_1, 3),
    mixed("q4_0", DType::Q4_0, 2),
    mixed("iq4_nl", DType::IQ4_NL, 25),
    mixed("q3_k_s", DType::Q3_K, 11),
    mixed("q2_k", DType::Q2_K, 10),
];

/// What a matrix is for, as far as recipes care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Embedding of a model with a head of its own.
    Embedding,
    /// The head, or the embedding that is also the head.
    Head,
    /// The fused query, key and value projection, or the value projection.
    QkvOrValue { layer: usize },
    /// The last projection of the MLP.
    Down { layer: usize },
    /// Any other matrix.
    Matrix,
}

impl Recipe {
    /// Names of all recipes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        RECIPES.iter().map(|recipe| recipe.name)
    }

    /// The recipe of that name; `q3_k`, `q4_k` and `q5_k` are short for their `_s` forms.
    ///
    /// # Errors
    /// When there is none; the message lists them.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let lower = name.to_ascii_lowercase();
        let full = match lower.as_str() {
            "q3_k" | "q4_k" | "q5_k" => format!("{lower}_s"),
            _ => lower,
        };
        RECIPES.iter().copied().find(|recipe| recipe.name == full).ok_or_else(|| {
            let names: Vec<_> = Self::names().collect();
            Error::Other(format!(
                "no quantisation is named {name:?}; there are {}",
                names.join(", ")
            ))
        })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The same type for every matrix.
    pub fn pure(self) -> Self {
        plain(self.name, self.body, self.file_type)
    }

    pub(crate) fn file_type(&self) -> u32 {
        self.file_type
    }

    /// The type of a matrix with `columns` inputs in a model of `layers` layers.
    pub(crate) fn dtype(&self, role: Role, columns: usize, layers: usize) -> DType {
        let wanted = match role {
            Role::Head => self.head,
            Role::QkvOrValue { .. } => self.qkv,
            Role::Down { layer } if takes_more_bits(layer, layers) => self.down,
            Role::Embedding | Role::Matrix | Role::Down { .. } => self.body,
        };
        fitting(wanted, columns)
    }
}

/// The first and last eighth of the layers, and every third between.
fn takes_more_bits(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

/// `wanted`, or the next finer type whose blocks divide the rows.
fn fitting(wanted: DType, columns: usize) -> DType {
    let finer = match wanted {
        DType::Q2_K | DType::Q3_K | DType::Q4_K | DType::IQ4_XS => DType::Q5_0,
        DType::Q5_K => DType::Q5_1,
        DType::Q6_K => DType::Q8_0,
        other => other,
    };
    let fits = |dtype: &DType| quant::can_encode(*dtype) && dtype.row_bytes(columns).is_some();
    [wanted, finer, DType::F16].into_iter().find(fits).unwrap_or(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q4_k_m_is_the_mix_that_people_know() {
        let recipe = Recipe::parse("Q4_K_M").unwrap();
        let finer: Vec<_> = (0..32)
            .filter(|layer| recipe.dtype(Role::Down { layer: *layer }, 8192, 32) == DType::Q6_K)
            .collect();
        assert_eq!(finer, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]);
        assert_eq!(recipe.dtype(Role::Head, 3072, 32), DType::Q6_K);
        assert_eq!(recipe.dtype(Role::QkvOrValue { layer: 0 }, 3072, 32), DType::Q5_K);
        assert_eq!(recipe.dtype(Role::Matrix, 3072, 32), DType::Q4_K);
        assert_eq!(recipe.pure().dtype(Role::Head, 3072, 32), DType::Q4_K);
    }

    #[test]
    fn rows_that_blocks_do_not_divide_get_a_finer_type() {
        let recipe = Recipe::parse("q4_k").unwrap();
        assert_eq!(recipe.dtype(Role::Matrix, 576, 30), DType::Q5_0);
        assert_eq!(recipe.dtype(Role::Head, 576, 30), DType::Q8_0);
        assert_eq!(recipe.dtype(Role::Matrix, 100, 30), DType::F16);
        assert!(Recipe::parse("q9_z").unwrap_err().to_string().contains("q4_k_m"));
    }
}
