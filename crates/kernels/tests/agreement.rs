//! Every tier against the reference and against each other, over a table of awkward sizes.

#[cfg(panic = "unwind")]
use std::panic::{AssertUnwindSafe, catch_unwind};

use phial_kernels::attention::{
    AttentionSpan, BLOCK, Element, Geometry, attention, store_position,
};
use phial_kernels::matmul::{Product, matmul};
use phial_kernels::packed::Form;
use phial_kernels::{
    Activations, Codes, DisjointRows, PackedMatrix, Pool, Span, Tier, elementwise, reference,
};
use phial_tensor::{DType, Tensor, quant};

/// Numbers in -1..1 from a seed (splitmix64).
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// A matrix of random blocks; every bit pattern of codes and sub-scales occurs.
fn random_tensor(dtype: DType, rows: usize, columns: usize, seed: u64) -> Tensor {
    let values = noise(seed, rows * columns);
    let bytes_len = dtype.row_bytes(columns).expect("whole blocks") * rows;
    let mut bytes = vec![0; bytes_len];
    if quant::can_encode(dtype) {
        for (row, out) in
            values.chunks_exact(columns).zip(bytes.chunks_exact_mut(bytes_len / rows.max(1)))
        {
            quant::encode(dtype, row, out);
        }
    } else {
        // Random codes under a small scale.
        for (byte, value) in bytes.iter_mut().zip(noise(seed ^ 7, bytes_len)) {
            *byte = (value * 128.0) as i8 as u8;
        }
        let scale = half::f16::from_f32(0.01).to_le_bytes();
        let at = if dtype == DType::TQ2_0 { 64 } else { 0 };
        for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
            block[at..at + 2].copy_from_slice(&scale);
        }
    }
    Tensor { dtype, shape: vec![rows, columns], bytes: bytes.into() }
}

fn product(pool: &Pool, tier: Tier, tensor: &Tensor, input: &[f32]) -> Vec<f32> {
    let packed = PackedMatrix::pack(tensor, 0..tensor.rows(), pool);
    let columns = tensor.columns();
    let rows = input.len() / columns;
    let mut activations = Activations::default();
    let kind = packed.form().span().map_or(Codes::None, Codes::Eight);
    activations.fill(pool, tier, (rows, columns), kind, |row, out| {
        out.copy_from_slice(&input[row * columns..][..columns]);
    });
    let mut out = vec![f32::NAN; rows * tensor.rows()];
    let products = [Product { weights: &packed, column: 0 }];
    matmul(pool, tier, &products, &activations, DisjointRows::new(&mut out, tensor.rows()));
    out
}

#[test]
fn matrix_product_agrees_with_reference_in_every_type_size_and_tier() {
    let pool = Pool::new(2);
    for dtype in DType::ALL {
        let block = dtype.block_len();
        let columns: &[usize] = match block {
            1 => &[1, 2, 31, 64, 257],
            32 => &[32, 96, 576],
            _ => &[256, 768],
        };
        for &columns in columns {
            for weights in [1, 15, 16, 17, 48, 100] {
                // Enough for several tiles of rows of every tier, once.
                let many = if weights == 48 { 300 } else { 35 };
                for rows in [1, 2, 3, 4, 5, 8, 11, 17, many] {
                    let tensor = random_tensor(dtype, weights, columns, (weights * columns) as u64);
                    let input = noise(3, rows * columns);
                    let seen = match Form::of(dtype).span() {
                        Some(span) => reference::quantize_activations(&input, span),
                        None => input.clone(),
                    };
                    let expected = reference::matmul(&tensor.to_f32(), &seen, columns);
                    let mut first: Option<Vec<f32>> = None;
                    for tier in Tier::available() {
                        let name =
                            format!("{} {weights}x{columns}, {rows} rows, {tier}", dtype.name());
                        let got = product(&pool, tier, &tensor, &input);
                        assert_close(&got, &expected, &name, columns);
                        // The same order of additions everywhere: not close, equal.
                        let first = first.get_or_insert_with(|| got.clone());
                        assert!(got == *first, "{name}: tiers differ");
                    }
                }
            }
        }
    }
}

fn assert_close(got: &[f32], expected: &[f32], name: &str, columns: usize) {
    // Sums of `columns` terms of magnitude up to 1: rounding grows with the square root at worst.
    let tolerance = 2e-6 * (columns as f32).sqrt().max(4.0);
    for (index, (g, e)) in got.iter().zip(expected).enumerate() {
        let bound = tolerance * e.abs().max(1.0);
        assert!((g - e).abs() <= bound, "{name}: output {index} is {g}, expected {e}");
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    let pool = Pool::new(2);
    for dtype in [DType::Q4_0, DType::Q4_K, DType::Q6_K, DType::Q8_0, DType::BF16] {
        let tensor = random_tensor(dtype, 40, 512, 5);
        let input = noise(9, 13 * 512);
        for tier in Tier::available() {
            let together = product(&pool, tier, &tensor, &input);
            for (row, x) in input.chunks_exact(512).enumerate() {
                let alone = product(&pool, tier, &tensor, x);
                assert!(alone == together[row * 40..][..40], "{} {tier} row {row}", dtype.name());
            }
        }
    }
}

#[test]
fn several_products_share_one_output_row() {
    let pool = Pool::new(3);
    let tier = Tier::available()[0];
    let (a, b) = (random_tensor(DType::Q4_1, 33, 64, 1), random_tensor(DType::Q8_0, 20, 64, 2));
    let input = noise(4, 5 * 64);
    let mut activations = Activations::default();
    activations.fill(&pool, tier, (5, 64), Codes::Eight(Span::Group), |row, out| {
        out.copy_from_slice(&input[row * 64..][..64]);
    });
    let packed = [&a, &b].map(|tensor| PackedMatrix::pack(tensor, 0..tensor.rows(), &pool));
    let mut out = vec![0.0; 5 * 53];
    let products =
        [Product { weights: &packed[0], column: 0 }, Product { weights: &packed[1], column: 33 }];
    matmul(&pool, tier, &products, &activations, DisjointRows::new(&mut out, 53));
    let (left, right) = (product(&pool, tier, &a, &input), product(&pool, tier, &b, &input));
    for row in 0..5 {
        assert!(out[row * 53..][..33] == left[row * 33..][..33]);
        assert!(out[row * 53 + 33..][..20] == right[row * 20..][..20]);
    }
}

#[test]
fn packing_a_range_of_rows_is_packing_those_rows() {
    let pool = Pool::new(1);
    let tensor = random_tensor(DType::Q4_K, 40, 256, 11);
    let part = PackedMatrix::pack(&tensor, 5..30, &pool);
    let whole = product(&pool, Tier::Portable, &tensor, &noise(2, 256));
    let mut activations = Activations::default();
    activations.fill(&pool, Tier::Portable, (1, 256), Codes::Eight(Span::Super), |_, out| {
        out.copy_from_slice(&noise(2, 256));
    });
    let mut out = vec![0.0; 25];
    let products = [Product { weights: &part, column: 0 }];
    matmul(&pool, Tier::Portable, &products, &activations, DisjointRows::new(&mut out, 25));
    assert!(out == whole[5..30]);
}

// WebAssembly cannot catch a panic.
#[cfg(panic = "unwind")]
#[test]
fn packing_rows_that_are_not_there_panics() {
    let (pool, tensor) = (Pool::new(1), random_tensor(DType::Q4_K, 40, 256, 11));
    let outside = catch_unwind(AssertUnwindSafe(|| PackedMatrix::pack(&tensor, 0..41, &pool)));
    assert!(outside.is_err());
}

/// Fills a cache with `positions` random positions in scattered blocks.
/// Keys and values that [`cache`] stores, `[positions, kv_heads * head_dim]`.
fn cached_input(geometry: &Geometry, positions: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let len = positions * geometry.kv_heads * geometry.head_dim;
    (noise(seed, len), noise(seed + 1, len))
}

fn cache(tier: Tier, geometry: &Geometry, positions: usize, blocks: &[u32], seed: u64) -> Vec<u8> {
    let count = blocks.iter().max().map_or(0, |last| *last as usize + 1);
    let mut cache = vec![0; count * geometry.block_bytes()];
    let width = geometry.kv_heads * geometry.head_dim;
    let (keys, values) = cached_input(geometry, positions, seed);
    for position in 0..positions {
        let block = blocks[position / BLOCK] as usize;
        let bytes = &mut cache[block * geometry.block_bytes()..][..geometry.block_bytes()];
        let one = |rows: &[f32]| rows[position * width..][..width].to_vec();
        let (key, value) = (one(&keys), one(&values));
        store_position(tier, geometry, bytes, position % BLOCK, (&key, &value));
    }
    cache
}

#[test]
fn attention_agrees_with_reference_in_every_shape_and_tier() {
    let pool = Pool::new(2);
    let blocks = scattered_blocks();
    for element in Element::ALL {
        for (heads, kv_heads, head_dim) in
            [(3, 1, 128), (4, 2, 16), (9, 3, 64), (2, 2, 32), (15, 1, 48), (24, 8, 128)]
        {
            if !element.fits(head_dim) {
                continue;
            }
            let scale = (head_dim as f32).powf(-0.5);
            let geometry = Geometry { heads, kv_heads, head_dim, element, scale };
            // The last two walk more than one chunk, in parts and as a whole.
            let spans =
                [(0, 1), (0, 5), (31, 1), (32, 1), (30, 9), (150, 1), (0, 70), (600, 1), (505, 40)];
            for (start, rows) in spans {
                let cache = cache(Tier::available()[0], &geometry, start + rows, &blocks, 21);
                let span = AttentionSpan { row: 0, rows, start, blocks: &blocks };
                let width = heads * head_dim;
                // Large queries make sharp distributions as well as flat ones.
                let queries: Vec<f32> = noise(5, rows * width).iter().map(|q| q * 8.0).collect();
                let mut first: Option<Vec<f32>> = None;
                for tier in Tier::available() {
                    let mut out = vec![f32::NAN; rows * width];
                    attention(
                        &pool,
                        tier,
                        &geometry,
                        &[span],
                        (&queries, width),
                        &cache,
                        DisjointRows::new(&mut out, width),
                    );
                    let name = format!("{geometry:?} start {start} rows {rows} {tier}");
                    check_attention(&geometry, &cache, &span, &queries, &out, &name);
                    let first = first.get_or_insert_with(|| out.clone());
                    let worst = out.iter().zip(&*first).map(|(a, b)| (a - b).abs());
                    assert!(worst.fold(0.0, f32::max) < 1e-5, "{name}: tiers differ");
                }
            }
        }
    }
}

fn scattered_blocks() -> Vec<u32> {
    (0..24).map(|index| index * 7 % 24).collect()
}

#[test]
fn coded_keys_and_values_are_near_what_was_stored() {
    let (dim, positions, blocks) = (64, 45, [1, 0]);
    // The share of a key's or value's length that is lost: on average, and at worst.
    for (element, mean_max, worst_max) in
        [(Element::Int8, 0.007, 0.01), (Element::Int4, 0.09, 0.17)]
    {
        let geometry = Geometry { heads: 2, kv_heads: 2, head_dim: dim, element, scale: 1.0 };
        let cache = cache(Tier::Portable, &geometry, positions, &blocks, 3);
        for tier in Tier::available() {
            let other = self::cache(tier, &geometry, positions, &blocks, 3);
            assert!(other == cache, "{element:?} {tier} stores other bytes");
        }
        let span = AttentionSpan { row: 0, rows: positions, start: 0, blocks: &blocks };
        let (keys, values) = cached_input(&geometry, positions, 3);
        let length = |row: &[f32]| row.iter().map(|a| a * a).sum::<f32>().sqrt();
        for (source, is_value) in [(keys, false), (values, true)] {
            let (mut sum, mut worst) = (0.0, 0.0_f32);
            for (index, source) in source.chunks_exact(dim).enumerate() {
                let place = (index % 2, index / 2, is_value);
                let stored = reference::cached(&geometry, &cache, &span, place);
                let errors: Vec<f32> = source.iter().zip(&stored).map(|(a, b)| a - b).collect();
                let lost = length(&errors) / length(source);
                sum += lost;
                worst = worst.max(lost);
            }
            let mean = sum / (2 * positions) as f32;
            assert!(mean <= mean_max && worst <= worst_max, "{element:?} {mean} {worst}");
        }
    }
}

#[test]
fn a_block_forgets_what_it_held() {
    for element in Element::ALL {
        let geometry = Geometry { heads: 2, kv_heads: 2, head_dim: 64, element, scale: 1.0 };
        let width = 2 * 64;
        let fresh = cache(Tier::Portable, &geometry, BLOCK, &[0], 3);
        let mut used = cache(Tier::Portable, &geometry, BLOCK, &[0], 9);
        assert!(used != fresh);
        let (keys, values) = cached_input(&geometry, BLOCK, 3);
        for offset in 0..BLOCK {
            let row = (&keys[offset * width..][..width], &values[offset * width..][..width]);
            store_position(Tier::Portable, &geometry, &mut used, offset, row);
        }
        assert!(used == fresh, "{element:?}");
    }
}

fn check_attention(
    geometry: &Geometry,
    cache: &[u8],
    span: &AttentionSpan<'_>,
    queries: &[f32],
    out: &[f32],
    name: &str,
) {
    let (dim, width) = (geometry.head_dim, geometry.heads * geometry.head_dim);
    for head in [0, geometry.heads - 1] {
        let kv_head = head / (geometry.heads / geometry.kv_heads);
        for row in [0, span.rows / 2, span.rows - 1] {
            let read = |is_value| -> Vec<Vec<f32>> {
                (0..=span.start + row)
                    .map(|p| reference::cached(geometry, cache, span, (kv_head, p, is_value)))
                    .collect()
            };
            let query = &queries[row * width + head * dim..][..dim];
            let expected = reference::attention(query, &read(false), &read(true), geometry.scale);
            for (d, e) in expected.iter().enumerate() {
                let got = out[row * width + head * dim + d];
                // Sharp distributions: a query in 8 bits moves weight between neighbours.
                let tolerance = match geometry.element {
                    Element::F32 | Element::F16 => 3e-6,
                    Element::Int8 | Element::Int4 => 0.06,
                };
                assert!(
                    (got - e).abs() < tolerance,
                    "{name} head {head} row {row} dim {d}: {got} {e}"
                );
            }
        }
    }
}

#[test]
fn attention_of_a_row_does_not_depend_on_the_rows_beside_it() {
    let blocks = scattered_blocks();
    // Across the first chunk's end: one row is split among threads, sixty are not.
    let (start, rows, width) = (490, 60, 6 * 64);
    let queries = noise(8, rows * width);
    for element in Element::ALL {
        let geometry = Geometry { heads: 6, kv_heads: 2, head_dim: 64, element, scale: 0.125 };
        let cache = cache(Tier::Portable, &geometry, start + rows, &blocks, 77);
        for tier in Tier::available() {
            let run = |threads, spans: &[AttentionSpan<'_>], queries: &[f32]| {
                let mut out = vec![0.0; queries.len()];
                let rows_out = DisjointRows::new(&mut out, width);
                let pool = Pool::new(threads);
                attention(&pool, tier, &geometry, spans, (queries, width), &cache, rows_out);
                out
            };
            let span = AttentionSpan { row: 0, rows, start, blocks: &blocks };
            let together = run(2, &[span], &queries);
            for row in 0..rows {
                let alone = AttentionSpan { row: 0, rows: 1, start: start + row, blocks: &blocks };
                let got = run(1 + row % 2, &[alone], &queries[row * width..][..width]);
                assert!(got == together[row * width..][..width], "{element:?} {tier} row {row}");
            }
        }
    }
}

#[test]
fn rows_agree_with_reference_in_every_tier() {
    for tier in Tier::available() {
        for len in [1, 7, 8, 15, 16, 17, 64, 3072] {
            let (x, w) = (noise(len as u64, len), noise(5, len));
            let mut out = vec![0.0; len];
            elementwise::rms_norm(tier, &x, &w, 1e-5, &mut out);
            assert_close(&out, &reference::rms_norm(&x, &w, 1e-5), "rms_norm", 16);
            let gate: Vec<f32> = x.iter().map(|v| v * 120.0).collect();
            elementwise::silu_mul(tier, &gate, &w, &mut out);
            let expected = reference::silu_mul(&gate, &w);
            for (g, e) in out.iter().zip(&expected) {
                assert!((g - e).abs() <= 1e-6 * e.abs().max(1e-3), "{tier} silu {g} {e}");
            }
        }
    }
}

#[test]
fn activations_of_every_scale_survive_eight_bits() {
    let pool = Pool::new(1);
    for tier in Tier::available() {
        for magnitude in [0.0, 1e-38, 1e-20, 1.0, 1e20, 1e36] {
            let input: Vec<f32> = noise(1, 64).iter().map(|v| v * magnitude).collect();
            let tensor = random_tensor(DType::Q8_0, 1, 64, 3);
            let got = product(&pool, tier, &tensor, &input);
            assert!(got[0].is_finite(), "{tier} {magnitude}: {}", got[0]);
        }
    }
}

#[test]
fn left_over_codes_make_sixteen_bits() {
    let pool = Pool::new(1);
    let (rows, columns) = (11, 512);
    let tensor = random_tensor(DType::Q6_K, 20, columns, 6);
    let packed = PackedMatrix::pack(&tensor, 0..20, &pool);
    let input = noise(8, rows * columns);
    let expected = reference::matmul(&tensor.to_f32(), &input, columns);
    for tier in Tier::available() {
        let worst = |codes| {
            let mut activations = Activations::default();
            activations.fill(&pool, tier, (rows, columns), codes, |row, out| {
                out.copy_from_slice(&input[row * columns..][..columns]);
            });
            let mut out = vec![0.0; rows * 20];
            let products = [Product { weights: &packed, column: 0 }];
            matmul(&pool, tier, &products, &activations, DisjointRows::new(&mut out, 20));
            out.iter().zip(&expected).map(|(got, e)| (got - e).abs()).fold(0.0, f32::max)
        };
        let span = Span::Super;
        let (eight, sixteen) = (worst(Codes::Eight(span)), worst(Codes::Sixteen(span)));
        assert!(sixteen < 1e-3 && sixteen < eight / 20.0, "{tier}: {sixteen} beside {eight}");
    }
}
