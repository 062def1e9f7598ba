//! How fast attention reads a long cache: one new row against the machine's bandwidth, and a prompt's
//! rows against the peak of the byte products, in the shape of Phi-4-mini.
//! `cargo run --release -p phial-kernels --example reads -- 2` (threads) `[positions]`.

use std::time::{Duration, Instant};

use phial_kernels::attention::{
    AttentionSpan, BLOCK, Element, Geometry, attention, store_position,
};
use phial_kernels::{Buffer, DisjointRows, Pool, Tier, probe};

const HEADS: usize = 24;
const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;
/// Caches of as many layers exceed every processor cache.
const LAYERS: usize = 32;
const PROMPT_ROWS: usize = 256;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let threads = arguments.next().unwrap_or(1);
    let positions = arguments.next().unwrap_or(4096);
    let (pool, tier) = (Pool::new(threads), Tier::choose().expect("a tier"));
    let start = Instant::now();
    let clock = || start.elapsed();
    let peak = probe::dot_peak(&pool, tier, &clock);
    let bandwidth = probe::Memory::touched(1 << 29, &pool).bandwidth(&pool, tier, &clock);
    println!("{tier}, {threads} threads: {:.0} GMAC/s, {:.1} GB/s", peak / 1e9, bandwidth / 1e9);
    for element in Element::ALL {
        let geometry = Geometry {
            heads: HEADS,
            kv_heads: KV_HEADS,
            head_dim: HEAD_DIM,
            element,
            scale: (HEAD_DIM as f32).powf(-0.5),
        };
        let layers: Vec<_> =
            (0..LAYERS).map(|layer| cache(tier, &geometry, positions, layer)).collect();
        let one = time(&pool, tier, &geometry, &layers, (positions, 1));
        let bytes = (LAYERS * positions.div_ceil(BLOCK) * geometry.block_bytes()) as f64;
        let near = time(&pool, tier, &geometry, &layers[..1], (positions, 1));
        println!("near {:.2}", 1e3 * near * LAYERS as f64);
        let many = time(&pool, tier, &geometry, &layers[..1], (positions, PROMPT_ROWS));
        let products = (2 * positions * HEADS * HEAD_DIM * PROMPT_ROWS) as f64;
        println!(
            "{:4} 1 row {:6.2} ms {:5.1} GB/s {:5.1} %; {PROMPT_ROWS} rows {:5.1} % of the peak",
            element.name(),
            1e3 * one,
            bytes / one / 1e9,
            100.0 * bytes / one / bandwidth,
            100.0 * products / many / peak
        );
    }
}

/// A layer's cache with keys and values that look like some.
fn cache(tier: Tier, geometry: &Geometry, positions: usize, layer: usize) -> Buffer {
    let block_bytes = geometry.block_bytes();
    let mut cache = Buffer::zeroed(positions.div_ceil(BLOCK) * block_bytes);
    let width = KV_HEADS * HEAD_DIM;
    let number = |at: usize| (at * 7919 % 1009) as f32 / 504.0 - 1.0;
    for position in 0..positions {
        let key: Vec<f32> = (0..width).map(|i| number(position * 31 + i + layer)).collect();
        let value: Vec<f32> = (0..width).map(|i| number(position * 17 + i * 3)).collect();
        let block = &mut cache[position / BLOCK * block_bytes..][..block_bytes];
        store_position(tier, geometry, block, position % BLOCK, (&key, &value));
    }
    cache
}

/// The quickest of some passes over all layers, in seconds: `rows` rows, the last at the last position.
fn time(
    pool: &Pool,
    tier: Tier,
    geometry: &Geometry,
    layers: &[Buffer],
    (positions, rows): (usize, usize),
) -> f64 {
    let blocks: Vec<u32> = (0..positions.div_ceil(BLOCK) as u32).collect();
    let width = HEADS * HEAD_DIM;
    let queries: Vec<f32> = (0..rows * width).map(|i| (i * 31 % 101) as f32 / 50.0 - 1.0).collect();
    let mut out = vec![0.0; rows * width];
    let span = AttentionSpan { row: 0, rows, start: positions - rows, blocks: &blocks };
    let mut best = Duration::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        for cache in layers {
            let out = DisjointRows::new(&mut out, width);
            attention(pool, tier, geometry, &[span], (&queries, width), cache, out);
        }
        best = best.min(start.elapsed());
    }
    best.as_secs_f64()
}
