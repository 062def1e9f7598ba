use phial_tensor::DType;

/// Element types that this project reads, by their ggml ids.
const IDS: [(u32, DType); 16] = [
    (0, DType::F32),
    (1, DType::F16),
    (2, DType::Q4_0),
    (3, DType::Q4_1),
    (6, DType::Q5_0),
    (7, DType::Q5_1),
    (8, DType::Q8_0),
    (10, DType::Q2_K),
    (11, DType::Q3_K),
    (12, DType::Q4_K),
    (13, DType::Q5_K),
    (14, DType::Q6_K),
    (20, DType::IQ4_NL),
    (23, DType::IQ4_XS),
    (30, DType::BF16),
    (35, DType::TQ2_0),
];

/// Names of other types that files hold, for messages.
const OTHERS: [(u32, &str); 18] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (39, "MXFP4"),
    (4, "Q4_2"),
    (5, "Q4_3"),
];

pub(super) fn dtype_of(id: u32) -> Option<DType> {
    IDS.iter().find(|(known, _)| *known == id).map(|(_, dtype)| *dtype)
}

pub(super) fn id_of(dtype: DType) -> u32 {
    IDS.iter().find(|(_, known)| *known == dtype).expect("every type has an id").0
}

/// What to call a type that cannot be read.
pub(super) fn describe(id: u32) -> String {
    match OTHERS.iter().find(|(known, _)| *known == id) {
        Some((_, name)) => format!("{name} (type {id})"),
        None => format!("type {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_own_id() {
        for dtype in DType::ALL {
            assert_eq!(dtype_of(id_of(dtype)), Some(dtype));
            assert!(OTHERS.iter().all(|(id, _)| *id != id_of(dtype)));
        }
    }
}
