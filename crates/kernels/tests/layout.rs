//! The packed layout as others keep it: in files that outlive the program that wrote them.

use phial_kernels::Pool;
use phial_kernels::packed::{ALIGNMENT, Form, LAYOUT_VERSION, PackedMatrix};
use phial_tensor::{DType, SharedBytes, Tensor};

/// A matrix of bytes that look random and are below `below`.
fn matrix(dtype: DType, rows: usize, columns: usize, below: u64) -> Tensor {
    let len = rows * dtype.row_bytes(columns).expect("whole blocks");
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below) as u8
    };
    let bytes: Vec<_> = (0..len).map(|_| next()).collect();
    Tensor { dtype, shape: vec![rows, columns], bytes: bytes.into() }
}

/// Forms, and sums of what is packed of [`matrix`] in each.
const LAYOUT_1: &str = "\
f32 f32 f8efdbfce4c0fb66
f16 f16 53b6ecbb801b8d54
bf16 bf16 53b6ecbb801b8d54
q4_0 nibble 6053942c97808578
q4_1 nibble-min 800f5072770a7438
q4_k nibble-super 965f8da19e7449bf
q5_k five-super d51f4735b8e90a9c
q6_k six-super 925bddd4e9f5bb8a
q8_0 byte e0fb95cbe87e1546
q5_0 byte-min 5e55d45ed53d26df
";

#[test]
fn a_layout_has_one_version() {
    let pool = Pool::new(1);
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut found = String::new();
    for dtype in [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::Q4_0,
        DType::Q4_1,
        DType::Q4_K,
        DType::Q5_K,
        DType::Q6_K,
        DType::Q8_0,
        DType::Q5_0,
    ] {
        // The last is calculated with, so its scales are small numbers.
        let below = if dtype == DType::Q5_0 { 60 } else { 256 };
        let packed = PackedMatrix::pack(&matrix(dtype, 21, 512, below), 0..21, &pool);
        let sum = packed.panels_in_order().iter().fold(0xcbf2_9ce4_8422_2325, fnv);
        found += &format!("{} {} {sum:016x}\n", dtype.name(), packed.form().name());
    }
    // When the layout changed: raise LAYOUT_VERSION, and put the new sums in the place of these.
    assert!(LAYOUT_VERSION == 1 && found == LAYOUT_1, "{LAYOUT_VERSION}\n{found}");
}

#[test]
fn packed_bytes_are_a_matrix_again() {
    let pool = Pool::new(1);
    let packed = PackedMatrix::pack(&matrix(DType::Q6_K, 40, 256, 256), 0..40, &pool);
    let (form, len) = (packed.form(), packed.bytes());
    // Somewhere in a longer run of bytes.
    let mut kept = vec![0; len + 2 * ALIGNMENT];
    let start = kept.as_ptr().align_offset(ALIGNMENT);
    kept[start..start + len].copy_from_slice(packed.panels_in_order());
    let kept = SharedBytes::from(kept);
    let slice = |from: usize, len: usize| kept.slice(from..from + len).expect("in range");
    let again = PackedMatrix::from_packed(form, 40, 256, slice(start, len)).expect("whole panels");
    assert!(again.is_shared() && !packed.is_shared());
    assert!(again.panels_in_order() == packed.panels_in_order());
    assert_eq!((again.rows(), again.columns(), again.form()), (40, 256, form));
    for (form, rows, columns, from, len) in [
        (form, 40, 256, start, len - 1),
        (form, 40, 256, start + 1, len),
        (form, 49, 256, start, len),
        (form, 40, 512, start, len),
        (form, usize::MAX, 256, start, len),
        (Form::Nibble, 40, 256, start, len),
    ] {
        let refused = PackedMatrix::from_packed(form, rows, columns, slice(from, len)).is_none();
        assert!(refused, "{form:?} {rows} {columns} {from} {len}");
    }
}
