//! Speed of encoding and decoding each element type: `cargo bench -p phial-tensor`.
//!
//! One core, the plain forms of this crate: what `phial quantize` and a test that decodes weights
//! spend their time in.

use std::time::Instant;

use phial_tensor::DType;
use phial_tensor::quant::{decode, encode};

const VALUES: usize = 1 << 20;

fn main() {
    let values = values();
    let mut decoded = vec![0.0; values.len()];
    for dtype in DType::ALL {
        let Some(length) = dtype.row_bytes(values.len()) else { continue };
        let mut bytes = vec![0; length];
        let encoding = millions_per_second(|| encode(dtype, &values, &mut bytes));
        let decoding = millions_per_second(|| decode(dtype, &bytes, &mut decoded));
        println!("{:7} encode {encoding:6.0} M/s, decode {decoding:6.0} M/s", dtype.name());
    }
}

/// Numbers around zero from a fixed generator.
fn values() -> Vec<f32> {
    let mut state = 3_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.1
    };
    (0..VALUES).map(|_| next()).collect()
}

fn millions_per_second(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    VALUES as f64 / start.elapsed().as_secs_f64() / 1e6
}
