//! Each operation of each tier is that of the portable one, bit for bit, also at the edges.

use half::{bf16, f16};
use phial_kernels::{Kernel, Lanes, Tier};

/// Values at which vector instructions of different machines like to differ.
const EDGES: [f32; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.5,
    1.000_244_1, // 1 + 2^-12
    3.402_823_5e38,
    -3.402_823_5e38,
    1.175_494_4e-38,
    8.271_806e-25, // 2^-80
    -8.271_806e-25,
    65_519.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// `body` once per vector of sixteen lanes: it gets the lanes and the index of the first one.
macro_rules! sixteen_lanes {
    ($kernel:ident($($field:ident: $type:ty),*) -> $element:ty, |$self:ident, $lanes:ident, $at:ident, $out:ident| $body:block) => {
        #[derive(Clone, Copy)]
        struct $kernel { $($field: $type),* }

        impl Kernel for $kernel {
            type Output = [$element; 16];

            #[inline(always)]
            fn run<L: Lanes>($self, $lanes: L) -> Self::Output {
                let mut all = [<$element>::default(); 16];
                for $at in (0..16).step_by(L::COUNT) {
                    let $out = &mut all[$at..][..L::COUNT];
                    $body
                }
                all
            }
        }
    };
}

/// Runs `kernel` on every tier and compares with the portable one, the last.
fn compare<K: Kernel + Copy>(kernel: K, name: &str, same: impl Fn(&K::Output, &K::Output) -> bool)
where
    K::Output: std::fmt::Debug,
{
    let expected = Tier::Portable.run(kernel);
    for tier in Tier::available() {
        let got = tier.run(kernel);
        assert!(same(&got, &expected), "{name} on {tier}: {got:?}, expected {expected:?}");
    }
}

/// Equal bits, but any one that is not a number is as good as another.
fn same_floats(got: &[f32; 16], expected: &[f32; 16]) -> bool {
    let mut pairs = got.iter().zip(expected);
    pairs.all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
}

sixteen_lanes!(Binary(operation: u8, a: [f32; 16], b: [f32; 16]) -> f32, |self, lanes, at, out| {
    let (a, b) = (lanes.load(&self.a[at..]), lanes.load(&self.b[at..]));
    let value = match self.operation {
        0 => lanes.add(a, b),
        1 => lanes.sub(a, b),
        2 => lanes.mul(a, b),
        3 => lanes.div(a, b),
        4 => lanes.max(a, b),
        5 => lanes.zero_below(lanes.splat(3.0), a, b),
        6 => lanes.abs(a),
        _ => lanes.round(a),
    };
    lanes.store(value, out);
});

#[test]
fn operations_on_floats_are_equal() {
    for operation in 0..8 {
        for shift in 0..16 {
            let b = std::array::from_fn(|i| EDGES[(i + shift) % 16]);
            compare(
                Binary { operation, a: EDGES, b },
                &format!("operation {operation}"),
                same_floats,
            );
        }
    }
}

sixteen_lanes!(Fused(a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> f32, |self, lanes, at, out| {
    let (a, b) = (lanes.load(&self.a[at..]), lanes.load(&self.b[at..]));
    lanes.store(lanes.fma(a, b, lanes.load(&self.c[at..])), out);
});

#[test]
fn multiply_add_rounds_once() {
    for (first, second) in (0..16).flat_map(|first| (0..16).map(move |second| (first, second))) {
        let b = std::array::from_fn(|i| EDGES[(i + first) % 16]);
        let c = std::array::from_fn(|i| EDGES[(i + second) % 16]);
        compare(Fused { a: EDGES, b, c }, "fma", same_floats);
    }
    // The product lies half-way between two f32; the third number decides, however small.
    let a = EDGES[6];
    for (small, bits) in [(EDGES[10], 0x3f80_1001), (0.0, 0x3f80_1000), (EDGES[11], 0x3f80_1000)] {
        for tier in Tier::available() {
            let got = tier.run(Fused { a: [a; 16], b: [a; 16], c: [small; 16] });
            assert_eq!(got.map(f32::to_bits), [bits; 16], "{tier} {small}");
        }
    }
}

sixteen_lanes!(Half(bytes: [u8; 32], is_bfloat: bool) -> f32, |self, lanes, at, out| {
    let bytes = &self.bytes[2 * at..];
    let value = if self.is_bfloat { lanes.load_bf16(bytes) } else { lanes.load_f16(bytes) };
    lanes.store(value, out);
});

#[test]
fn every_number_of_sixteen_bits_is_read() {
    for first in (0..=u16::MAX).step_by(16) {
        let words: [u16; 16] = std::array::from_fn(|i| first + i as u16);
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_exact_mut(2).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let halves = words.map(|word| f16::from_bits(word).to_f32());
        let bfloats = words.map(|word| bf16::from_bits(word).to_f32());
        for tier in Tier::available() {
            let got = tier.run(Half { bytes, is_bfloat: false });
            assert!(same_floats(&got, &halves), "{tier} {first:#x}: {got:?}");
            let got = tier.run(Half { bytes, is_bfloat: true });
            assert!(same_floats(&got, &bfloats), "{tier} {first:#x}: {got:?}");
        }
    }
}

sixteen_lanes!(StoreHalf(values: [f32; 16]) -> u16, |self, lanes, at, out| {
    let mut bytes = [0; 32];
    lanes.store_f16(lanes.load(&self.values[at..]), &mut bytes[..2 * L::COUNT]);
    for (out, bytes) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *out = u16::from_le_bytes([bytes[0], bytes[1]]);
    }
});

#[test]
fn halves_are_rounded_to_nearest_even() {
    for first in (0..0x7c00_u16).step_by(15) {
        // Numbers, and what lies half-way to the next one and right beside that.
        let values = std::array::from_fn(|i| {
            let low = f16::from_bits(first + i as u16 / 4).to_f32();
            let high = f16::from_bits(first + i as u16 / 4 + 1).to_f32().min(65_536.0);
            let middle = f32::midpoint(low, high);
            [low, middle, -f32::from_bits(middle.to_bits() + 1), middle.next_down()][i % 4]
        });
        compare(StoreHalf { values }, "store_f16", |a, b| a == b);
    }
}

sixteen_lanes!(Bytes(bytes: [u8; 64], how: Load) -> f32, |self, lanes, at, out| {
    let bytes = &self.bytes[at..];
    let values = match self.how {
        Load::Unsigned => lanes.load_u8(bytes),
        Load::UnsignedInt => lanes.to_float(lanes.load_u8_int(bytes)),
        Load::SignedInt => lanes.to_float(lanes.load_i8_int(bytes)),
        Load::Product => {
            let (a, b) = (lanes.load_i8_int(bytes), lanes.load_u8_int(bytes));
            lanes.to_float(lanes.mul_add_int(a, b, lanes.splat_int(-77)))
        }
    };
    lanes.store(values, out);
});

/// How bytes become lanes.
#[derive(Clone, Copy)]
enum Load {
    Unsigned,
    UnsignedInt,
    SignedInt,
    Product,
}

/// What becomes of packed codes, seen through dot products with 1 in one place.
#[derive(Clone, Copy)]
enum Unpack {
    Low,
    High,
    Bits0,
    Bits3,
    Bits4,
    Bits6,
}

sixteen_lanes!(Unpacked(bytes: [u8; 64], part: Unpack, one: i32) -> f32, |self, lanes, at, out| {
    let bytes = lanes.load_bytes(&self.bytes[4 * at..]);
    let low = lanes.low_nibbles(bytes);
    let codes = match self.part {
        Unpack::Low => low,
        Unpack::High => lanes.high_nibbles(bytes),
        Unpack::Bits0 => lanes.add_high_bits::<0, 3>(low, bytes),
        Unpack::Bits3 => lanes.add_high_bits::<3, 1>(low, bytes),
        Unpack::Bits4 => lanes.add_high_bits::<4, 3>(low, bytes),
        Unpack::Bits6 => lanes.add_high_bits::<6, 3>(low, bytes),
    };
    lanes.store(lanes.to_float(lanes.dot(lanes.splat_int(0), codes, self.one)), out);
});

#[test]
fn bytes_are_read_and_unpacked() {
    for first in (0..=255_u8).step_by(64) {
        let bytes = std::array::from_fn(|i| first + i as u8);
        for how in [Load::Unsigned, Load::UnsignedInt, Load::SignedInt, Load::Product] {
            compare(Bytes { bytes, how }, "load of bytes", same_floats);
        }
        let parts =
            [Unpack::Low, Unpack::High, Unpack::Bits0, Unpack::Bits3, Unpack::Bits4, Unpack::Bits6];
        for (part, place) in parts.iter().flat_map(|part| (0..4).map(move |place| (part, place))) {
            let one = 1 << (8 * place);
            compare(Unpacked { bytes, part: *part, one }, "unpacked codes", same_floats);
        }
    }
}

sixteen_lanes!(Dot(codes: [u8; 64], wide: bool, activations: i32) -> f32, |self, lanes, at, out| {
    let codes = lanes.load_bytes(&self.codes[4 * at..]);
    let total: i32 = self.activations.to_le_bytes().iter().map(|v| i32::from(*v as i8)).sum();
    let sum = if self.wide {
        let start = lanes.splat_int(7 - L::WIDE_OFFSET * total);
        lanes.dot_wide(start, codes, self.activations)
    } else {
        lanes.dot(lanes.splat_int(7), codes, self.activations)
    };
    lanes.store(lanes.to_float(sum), out);
});

#[test]
fn dot_products_never_saturate() {
    let extremes = [-127_i8, -1, 0, 1, 127];
    for index in 0..5_usize.pow(4) {
        let four = std::array::from_fn(|i| extremes[index / 5_usize.pow(i as u32) % 5] as u8);
        let activations = i32::from_le_bytes(four);
        for wide in [false, true] {
            let largest = if wide { 255 } else { 127 };
            // Bits of the lane's index choose between the smallest, the largest and the middle.
            let codes = std::array::from_fn(|i| match (i / 4) >> (i % 4) & 1 {
                0 => largest,
                _ => [0, largest / 2, largest / 2 + 1][index % 3],
            });
            compare(Dot { codes, wide, activations }, "dot product", same_floats);
        }
    }
}

sixteen_lanes!(Power(values: [f32; 16]) -> f32, |self, lanes, at, out| {
    lanes.store(lanes.power_of_two(lanes.load(&self.values[at..])), out);
});

sixteen_lanes!(Codes(values: [f32; 16]) -> i8, |self, lanes, at, out| {
    let sum = lanes.store_i8(lanes.load(&self.values[at..]), out);
    assert_eq!(sum, out.iter().map(|code| i32::from(*code)).sum());
});

#[test]
fn powers_of_two_and_codes_are_equal() {
    for first in (-126..=112).step_by(14) {
        let values = std::array::from_fn(|i| (first + i as i32) as f32);
        compare(Power { values }, "power of two", same_floats);
        compare(Codes { values: values.map(|v| v + 0.5) }, "codes", |a, b| a == b);
        compare(Codes { values: values.map(|v| v * 1.49) }, "codes", |a, b| a == b);
    }
}

#[derive(Clone, Copy)]
struct Folds;

impl Kernel for Folds {
    type Output = [f32; 2];

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> [f32; 2] {
        let values: [f32; 16] = std::array::from_fn(|i| (i * 7 % 16) as f32 - 20.0);
        let mut sum = lanes.splat(0.0);
        let mut largest = lanes.splat(f32::NEG_INFINITY);
        for at in (0..16).step_by(L::COUNT) {
            sum = lanes.add(sum, lanes.load(&values[at..]));
            largest = lanes.max(lanes.load(&values[at..]), largest);
        }
        [lanes.sum(sum), lanes.largest(largest)]
    }
}

#[test]
fn every_lane_is_folded() {
    compare(Folds, "folds", |a, b| a == b);
    assert_eq!(Tier::Portable.run(Folds), [-200.0, -5.0]);
}

#[test]
fn every_tier_is_found_by_its_name() {
    let names: Vec<_> = Tier::available().into_iter().map(Tier::name).collect();
    for name in &names {
        assert_eq!(name.parse::<Tier>().expect("it is available").name(), *name);
    }
    // Said by who knows the machine: tests over fewer tiers would pass unseen.
    if let Ok(expected) = std::env::var("PHIAL_EXPECTED_TIERS") {
        assert_eq!(names.join(","), expected);
    }
}
