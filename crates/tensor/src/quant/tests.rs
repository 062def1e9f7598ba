use super::{can_encode, decode, encode};
use crate::DType;

/// Numbers that look like weights: a sum of uniform numbers from a fixed generator.
fn weights(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count).map(|_| (uniform() + uniform() + uniform() + uniform()) * 0.05).collect()
}

fn round_trip(dtype: DType, values: &[f32]) -> Vec<f32> {
    let mut bytes = vec![0xA5; dtype.row_bytes(values.len()).unwrap()];
    encode(dtype, values, &mut bytes);
    let mut decoded = vec![0.0; values.len()];
    decode(dtype, &bytes, &mut decoded);
    decoded
}

fn relative_error(values: &[f32], decoded: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    let error: f64 = values.iter().zip(decoded).map(|(a, b)| square(a - b)).sum();
    (error / values.iter().map(|&value| square(value)).sum::<f64>()).sqrt()
}

#[test]
fn every_type_comes_back_within_its_precision() {
    let values = weights(4096, 1);
    let limits = [
        (DType::F32, 0.0),
        (DType::F16, 4e-4),
        (DType::BF16, 3e-3),
        (DType::Q8_0, 0.006),
        (DType::Q6_K, 0.02),
        (DType::Q5_K, 0.04),
        (DType::Q5_1, 0.04),
        (DType::Q5_0, 0.05),
        (DType::Q4_K, 0.075),
        (DType::Q4_1, 0.08),
        (DType::Q4_0, 0.1),
        (DType::IQ4_NL, 0.08),
        (DType::IQ4_XS, 0.08),
        (DType::Q3_K, 0.17),
        (DType::Q2_K, 0.33),
        (DType::TQ2_0, 0.9),
    ];
    assert_eq!(limits.len(), DType::ALL.len());
    for (dtype, limit) in limits {
        assert!(can_encode(dtype));
        let error = relative_error(&values, &round_trip(dtype, &values));
        assert!(error <= limit, "{}: {error}", dtype.name());
    }
}

#[test]
fn zeros_and_flat_blocks_are_kept() {
    for dtype in DType::ALL {
        assert!(round_trip(dtype, &[0.0; 256]).iter().all(|&value| value == 0.0), "{dtype:?}");
        for flat in [1.0, -2.0] {
            let error = relative_error(&[flat; 256], &round_trip(dtype, &[flat; 256]));
            assert!(error < 0.01, "{dtype:?} of {flat}: {error}");
        }
    }
}

#[test]
fn no_input_gives_infinities_or_panics() {
    let nasty = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        1e-30,
        1e-14,
        -0.0,
        7.0e4,
        -3.0e8,
    ];
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.block_len() > 1) {
        for (number, &one) in nasty.iter().enumerate() {
            let mut values = weights(512, number as u64);
            values[7] = one;
            values[300..400].fill(one);
            for (index, value) in values[400..512].iter_mut().enumerate() {
                *value = nasty[(index * 5 + number) % nasty.len()];
            }
            let decoded = round_trip(dtype, &values);
            assert!(decoded.iter().all(|value| value.is_finite()), "{dtype:?} with {one}");
        }
    }
}

#[test]
fn any_bytes_decode_without_panic() {
    for dtype in DType::ALL {
        for fill in [0x00, 0x7F, 0x80, 0xFF] {
            let bytes = vec![fill; dtype.row_bytes(512).unwrap()];
            decode(dtype, &bytes, &mut [0.0; 512]);
        }
    }
}

/// One block of each format against values worked out by hand from the layout tables.
#[test]
fn layouts_place_elements_where_ggml_does() {
    let one = 0x3C00_u16.to_le_bytes();
    let element = |dtype: DType, bytes: &[u8], index: usize| {
        let mut out = [0.0; 256];
        decode(dtype, bytes, &mut out[..dtype.block_len()]);
        out[index]
    };
    let mut q4_0 = [0; 18];
    q4_0[..2].copy_from_slice(&one);
    q4_0[2 + 3] = 0xF1;
    assert_eq!(element(DType::Q4_0, &q4_0, 3), -7.0);
    assert_eq!(element(DType::Q4_0, &q4_0, 19), 7.0);

    let mut q5_0 = [0; 22];
    q5_0[..2].copy_from_slice(&one);
    q5_0[2 + 2] = 0b10; // The fifth bit of element 17.
    assert_eq!(element(DType::Q5_0, &q5_0, 17), 0.0);
    assert_eq!(element(DType::Q5_0, &q5_0, 16), -16.0);

    let mut q4_k = [0; 144];
    q4_k[..2].copy_from_slice(&one);
    q4_k[2..4].copy_from_slice(&one);
    q4_k[4 + 1] = 0b1100_0000; // High bits of scale 5.
    q4_k[4 + 5] = 0b0100_0000; // High bits of offset 5.
    q4_k[4 + 9] = 0x21; // Low bits: offset 2, scale 1.
    q4_k[16 + 64 + 6] = 0x30; // Element 6 of run 5 has code 3.
    assert_eq!(element(DType::Q4_K, &q4_k, 5 * 32 + 6), 49.0 * 3.0 - 18.0);

    let mut q6_k = [0; 210];
    q6_k[208..].copy_from_slice(&one);
    q6_k[192 + 13] = 0xFE; // Scale code -2 of elements 208 to 223.
    q6_k[64 + 10] = 0x50; // Element 202 in the high half: code 5 without its high bits.
    q6_k[64 + 16] = 0x50; // Element 208.
    q6_k[128 + 32 + 16] = 0b11 << 4;
    assert_eq!(element(DType::Q6_K, &q6_k, 208), -2.0 * (53.0 - 32.0));
}

#[test]
#[should_panic(expected = "another number of bytes")]
fn a_wrong_length_is_a_programming_error() {
    decode(DType::Q4_0, &[0; 17], &mut [0.0; 32]);
}
