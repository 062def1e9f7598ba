//! What the machine itself can do: bytes that its memory gives and multiply-accumulates that its
//! instructions make in a second. They are the ceilings that a measured speed is held against.
//!
//! Time is an argument here as everywhere in this room: a [`Clock`] tells it.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::buffer::Buffer;
use crate::cpu::Tier;
use crate::lanes::{Kernel, Lanes};
use crate::pool::Pool;

/// Tells the time since a moment that stays the same.
pub type Clock<'a> = &'a dyn Fn() -> Duration;

/// Bytes that a thread claims at once: those of a matrix product's tile.
const TILE_BYTES: usize = 256 * 1024;

/// The system gives memory in pages of at least this many bytes; a page that nobody has written to
/// is read from one shared page of zeros, out of the cache.
const PAGE_BYTES_MIN: usize = 4096;

/// Sums that the read loop keeps apart, so that no load waits for an addition.
const READ_SUMS: usize = 8;

/// Weight vectors and rows of activations of the multiply loop: twelve sums hide the latency of
/// every tier's instruction and, with their operands, fit into the registers of all of them.
const VECTORS: usize = 2;
const ROWS: usize = 6;

/// Steps of the multiply loop before it begins again; their operands stay in the nearest cache.
const STEPS: usize = 64;

/// Bytes of the widest vector of any tier.
const VECTOR_BYTES_MAX: usize = 64;

/// Tiles per thread, so that a thread that loses its core costs little.
const TILES_PER_THREAD: usize = 4;

/// How long a ceiling is looked for. The best run counts: what disturbs a run only slows it down.
const SEARCH: Duration = Duration::from_millis(250);

/// A shorter run measures the clock and the waking of threads.
const RUN_MIN: Duration = Duration::from_millis(2);

/// Memory that is there to be read.
pub struct Memory {
    bytes: Buffer,
}

impl Memory {
    /// About `bytes` bytes, in huge pages where the system has them, each page first written by
    /// the threads that read it. Take far more than the caches hold.
    pub fn touched(bytes: usize, pool: &Pool) -> Self {
        let mut bytes = Buffer::zeroed(bytes.next_multiple_of(TILE_BYTES).max(TILE_BYTES));
        pool.for_each(bytes.chunks_mut(TILE_BYTES).collect(), |tile: &mut [u8]| {
            tile.iter_mut().step_by(PAGE_BYTES_MIN).for_each(|byte| *byte = 1);
        });
        Self { bytes }
    }

    /// Bytes per second that all threads of `pool` read together, each a tile at a time as a
    /// matrix product does.
    pub fn bandwidth(&self, pool: &Pool, tier: Tier, clock: Clock<'_>) -> f64 {
        let tiles: Vec<_> = self.bytes.chunks_exact(TILE_BYTES).collect();
        best_rate(clock, |passes| {
            for _ in 0..passes {
                pool.run(tiles.len(), |index| {
                    black_box(tier.run(ReadTile { bytes: tiles[index] }));
                });
            }
            passes * (tiles.len() * TILE_BYTES) as u64
        })
    }
}

/// Multiply-accumulates per second of 8-bit codes with 8-bit activations, by all threads of
/// `pool`, operands in the nearest cache.
pub fn dot_peak(pool: &Pool, tier: Tier, clock: Clock<'_>) -> f64 {
    // Four equal codes meet activations that cancel out: sums stay small however long it runs.
    let codes: Vec<u8> =
        (0..STEPS * VECTORS * VECTOR_BYTES_MAX).map(|i| 1 + (i / 4 % 15) as u8).collect();
    let activations: Vec<i32> = (0..STEPS * ROWS)
        .map(|i| {
            let (a, b) = (1 + (i % 100) as i8, 1 + (i % 77) as i8);
            i32::from_le_bytes([a, -a, b, -b].map(|value| value as u8))
        })
        .collect();
    peak(pool, clock, |sweeps| {
        let (codes, activations) = (black_box(&codes), black_box(&activations));
        tier.run(DotTile { codes, activations, sweeps })
    })
}

/// Multiply-accumulates per second of 32-bit floats, as weights of `f32`, `f16` and `bf16` take
/// them, by all threads of `pool`, operands in the nearest cache.
pub fn float_peak(pool: &Pool, tier: Tier, clock: Clock<'_>) -> f64 {
    let weights = vec![1.0_f32; STEPS * VECTORS * VECTOR_BYTES_MAX / 4];
    // Rows of one step cancel those of the next.
    let activations: Vec<f32> =
        (0..STEPS * ROWS).map(|i| if (i / ROWS).is_multiple_of(2) { 1.5 } else { -1.5 }).collect();
    peak(pool, clock, |sweeps| {
        let (weights, activations) = (black_box(&weights), black_box(&activations));
        tier.run(FloatTile { weights, activations, sweeps })
    })
}

/// The rate of `tile` on all threads; it is told how often to go over its operands and returns how
/// many multiply-accumulates it made.
fn peak(pool: &Pool, clock: Clock<'_>, tile: impl Fn(u64) -> u64 + Sync) -> f64 {
    best_rate(clock, |sweeps| {
        let made = AtomicU64::new(0);
        pool.run(pool.threads() * TILES_PER_THREAD, |_| {
            made.fetch_add(tile(sweeps), Ordering::Relaxed);
        });
        made.into_inner()
    })
}

/// The best rate per second of `run`, which is told how often to repeat its work and returns how
/// much it did.
fn best_rate(clock: Clock<'_>, mut run: impl FnMut(u64) -> u64) -> f64 {
    let start = clock();
    let mut repetitions = 1;
    let mut best = 0.0_f64;
    while best == 0.0 || clock().saturating_sub(start) < SEARCH {
        let begin = clock();
        let done = run(repetitions);
        let taken = clock().saturating_sub(begin);
        if taken < RUN_MIN {
            repetitions *= 2;
        } else {
            best = best.max(done as f64 / taken.as_secs_f64());
        }
    }
    best
}

#[derive(Clone, Copy)]
struct ReadTile<'a> {
    bytes: &'a [u8],
}

impl Kernel for ReadTile<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> f32 {
        let width = 4 * L::COUNT;
        let mut sums = [lanes.splat_int(0); READ_SUMS];
        for piece in self.bytes.chunks_exact(READ_SUMS * width) {
            for (index, sum) in sums.iter_mut().enumerate() {
                let bytes = &piece[index * width..][..width];
                lanes.prefetch_stream(bytes, 0);
                *sum = lanes.dot(*sum, lanes.load_bytes(bytes), 0x0101_0101);
            }
        }
        let mut total = 0.0;
        for sum in sums {
            total += lanes.sum(lanes.to_float(sum));
        }
        total
    }
}

#[derive(Clone, Copy)]
struct DotTile<'a> {
    codes: &'a [u8],
    activations: &'a [i32],
    sweeps: u64,
}

impl Kernel for DotTile<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> u64 {
        let width = 4 * L::COUNT;
        let mut sums = [[lanes.splat_int(0); VECTORS]; ROWS];
        for _ in 0..self.sweeps {
            let steps = self.codes.chunks_exact(VECTORS * width);
            for (codes, activations) in steps.zip(self.activations.chunks_exact(ROWS)) {
                let vectors =
                    [lanes.load_bytes(&codes[..width]), lanes.load_bytes(&codes[width..])];
                for (sums, activation) in sums.iter_mut().zip(activations) {
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = lanes.dot(*sum, vector, *activation);
                    }
                }
            }
        }
        for sum in sums.as_flattened() {
            black_box(lanes.sum(lanes.to_float(*sum)));
        }
        self.sweeps * (STEPS * VECTORS * ROWS * width) as u64
    }
}

#[derive(Clone, Copy)]
struct FloatTile<'a> {
    weights: &'a [f32],
    activations: &'a [f32],
    sweeps: u64,
}

impl Kernel for FloatTile<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> u64 {
        let mut sums = [[lanes.splat(0.0); VECTORS]; ROWS];
        for _ in 0..self.sweeps {
            let steps = self.weights.chunks_exact(VECTORS * L::COUNT);
            for (weights, activations) in steps.zip(self.activations.chunks_exact(ROWS)) {
                let vectors = [lanes.load(&weights[..L::COUNT]), lanes.load(&weights[L::COUNT..])];
                for (sums, activation) in sums.iter_mut().zip(activations) {
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = lanes.fma(vector, lanes.splat(*activation), *sum);
                    }
                }
            }
        }
        for sum in sums.as_flattened() {
            black_box(lanes.sum(*sum));
        }
        self.sweeps * (STEPS * VECTORS * ROWS * L::COUNT) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use super::*;

    #[test]
    fn every_tier_reads_and_multiplies() {
        let pool = Pool::new(2);
        let start = Instant::now();
        let clock = || start.elapsed();
        let memory = Memory::touched(8 << 20, &pool);
        for tier in Tier::available() {
            for rate in [
                memory.bandwidth(&pool, tier, &clock),
                dot_peak(&pool, tier, &clock),
                float_peak(&pool, tier, &clock),
            ] {
                assert!(rate > 1e6 && rate < 1e15, "{tier}: {rate}");
            }
        }
    }

    #[test]
    fn a_tile_counts_what_it_does() {
        let codes = [1; STEPS * VECTORS * VECTOR_BYTES_MAX];
        let activations = [0; STEPS * ROWS];
        for tier in Tier::available() {
            let one = tier.run(DotTile { codes: &codes, activations: &activations, sweeps: 1 });
            let two = tier.run(DotTile { codes: &codes, activations: &activations, sweeps: 2 });
            assert!(one > 0 && two == 2 * one, "{tier}");
        }
        let pool = Pool::new(1);
        let memory = Memory::touched(3 * TILE_BYTES - 1, &pool);
        let pages = memory.bytes.len() / PAGE_BYTES_MIN;
        assert_eq!(memory.bytes.len(), 3 * TILE_BYTES);
        for tier in Tier::available() {
            assert_eq!(tier.run(ReadTile { bytes: &memory.bytes }), pages as f32, "{tier}");
        }
    }

    #[test]
    fn the_best_run_counts_and_short_ones_do_not() {
        // Each unit takes a millisecond, and the third long run is disturbed.
        let now = Cell::new(Duration::ZERO);
        let runs = Cell::new(0);
        let rate = best_rate(&|| now.get(), |repetitions| {
            runs.set(runs.get() + 1);
            let disturbance = if runs.get() == 3 { 50 } else { 0 };
            now.set(now.get() + Duration::from_millis(repetitions + disturbance));
            repetitions
        });
        assert!((rate - 1000.0).abs() < 1e-6, "{rate}");
        assert!(runs.get() > 3);
    }
}
