//! How fast products run: rows of activations against the peak of the byte products, and the price
//! of some rows against one. `cargo run --release -p phial-kernels --example products -- 1`
//! (threads) `[columns [form]]`.

use std::time::{Duration, Instant};

use phial_kernels::matmul::{Product, matmul};
use phial_kernels::{Activations, Codes, DisjointRows, PackedMatrix, Pool, Tier, probe};
use phial_tensor::{DType, Tensor};

/// Outputs of one matrix of the row counts of a prompt: it stays in a cache.
const SMALL: usize = 2048;
/// Matrices that together exceed every cache.
const MATRICES: usize = 24;
const LARGE: usize = 8192;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let columns = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(3072);
    let only = arguments.next();
    let (pool, tier) = (Pool::new(threads), Tier::choose().expect("a tier"));
    let start = Instant::now();
    let clock = || start.elapsed();
    let peak = probe::dot_peak(&pool, tier, &clock);
    let bandwidth = probe::Memory::touched(1 << 29, &pool).bandwidth(&pool, tier, &clock);
    println!("{tier}, {threads} threads: {:.0} GMAC/s, {:.1} GB/s", peak / 1e9, bandwidth / 1e9);
    for dtype in [DType::Q4_K, DType::Q4_0, DType::Q6_K, DType::Q5_K, DType::Q8_0, DType::BF16] {
        if only.as_deref().is_some_and(|only| !dtype.name().eq_ignore_ascii_case(only)) {
            continue;
        }
        let small = [matrix(dtype, (SMALL, columns), &pool)];
        let seconds = time(&pool, tier, &small, 512, 5);
        let rate = (SMALL * columns * 512) as f64 / seconds;
        print!("{:6} 512 rows {:5.1} % of the peak;", dtype.name(), 100.0 * rate / peak);
        let matrices: Vec<_> =
            (0..MATRICES).map(|_| matrix(dtype, (LARGE, columns), &pool)).collect();
        let bytes: usize = matrices.iter().map(PackedMatrix::bytes).sum();
        let one = time(&pool, tier, &matrices, 1, 5);
        print!(
            " 1 row {:5.1} GB/s {:5.1} %;",
            bytes as f64 / one / 1e9,
            100.0 * bytes as f64 / one / bandwidth
        );
        for rows in [2, 3, 4, 6, 8, 12, 16] {
            print!(" {rows}: {:.2}", time(&pool, tier, &matrices, rows, 3) / one);
        }
        println!();
    }
}

/// The quickest of some passes over all matrices, in seconds.
fn time(pool: &Pool, tier: Tier, matrices: &[PackedMatrix], rows: usize, passes: usize) -> f64 {
    let columns = matrices[0].columns();
    let codes = matrices[0].form().span().map_or(Codes::None, Codes::Eight);
    let mut input = Activations::default();
    input.fill(pool, tier, (rows, columns), codes, |row, out| {
        for (column, out) in out.iter_mut().enumerate() {
            *out = ((row * 31 + column * 7) % 101) as f32 / 50.0 - 1.0;
        }
    });
    let width = matrices[0].rows();
    let mut out = vec![0.0; rows * width];
    let mut best = Duration::MAX;
    for _ in 0..passes {
        let start = Instant::now();
        for weights in matrices {
            let product = Product { weights, column: 0 };
            matmul(pool, tier, &[product], &input, DisjointRows::new(&mut out, width));
        }
        best = best.min(start.elapsed());
    }
    best.as_secs_f64()
}

/// A matrix of bytes that look like weights: scales that are finite, codes of all kinds.
fn matrix(dtype: DType, (rows, columns): (usize, usize), pool: &Pool) -> PackedMatrix {
    let values: Vec<f32> =
        (0..columns).map(|i| ((i * 7919) % 1000) as f32 / 1000.0 - 0.5).collect();
    let mut row = vec![0; dtype.row_bytes(columns).expect("whole blocks")];
    phial_tensor::quant::encode(dtype, &values, &mut row);
    let bytes = row.repeat(rows);
    let tensor = Tensor { dtype, shape: vec![rows, columns], bytes: bytes.into() };
    PackedMatrix::pack(&tensor, 0..rows, pool)
}
