//! Dot products of 32 codes, and straight code for short loops over rows.

use crate::activations::GROUP;
use crate::lanes::Lanes;

/// Repeats a block for `$row` = 0, 1, ... below `$count` (at most 16) as straight code: sums of
/// several rows then stay in registers, which a loop of this length does not achieve.
macro_rules! each_row {
    ($row:ident < $count:ident, $body:block) => {
        each_row!(@ $row $count $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $row:ident $count:ident $body:block $($index:literal)*) => {
        $(if $index < $count {
            let $row = $index;
            $body
        })*
    };
}
pub(crate) use each_row;

/// The four codes of vector `vector` of a row's group, as they travel to every lane.
#[inline(always)]
pub(crate) fn four_codes(row: &[i8; GROUP], vector: usize) -> i32 {
    let four = row[4 * vector..4 * vector + 4].as_array().expect("four of 32");
    i32::from_le_bytes(four.map(|code| code as u8))
}

/// Vectors `FIRST..END` of codes, four columns each, against 32 signed codes of one row, on top of
/// `start`. `WIDE` codes fill a byte (see [`Lanes::dot_wide`]).
#[inline(always)]
pub(crate) fn dot_vectors<L: Lanes, const WIDE: bool, const FIRST: usize, const END: usize>(
    lanes: L,
    codes: &[L::B; 8],
    row: &[i8; GROUP],
    start: L::I,
) -> L::I {
    let mut sum = start;
    each_row!(vector < END, {
        if vector >= FIRST && vector < 8 {
            let four = four_codes(row, vector);
            sum = if WIDE {
                lanes.dot_wide(sum, codes[vector], four)
            } else {
                lanes.dot(sum, codes[vector], four)
            };
        }
    });
    sum
}

/// Codes `4 * i` to `4 * i + 3` of `COUNT` columns from `column` on, for `i` = 0 to 7, where four codes of
/// each of `width` columns lie side by side. Not a closure: that would be compiled without the tier's
/// features, and called.
#[inline(always)]
pub(crate) fn code_vectors<L: Lanes>(
    lanes: L,
    codes: &[u8],
    width: usize,
    column: usize,
) -> [L::B; 8] {
    let [a, b, c, d] = half_code_vectors(lanes, codes, width, column);
    let [e, f, g, h] = half_code_vectors(lanes, &codes[16 * width..], width, column);
    [a, b, c, d, e, f, g, h]
}

/// As [`code_vectors`], for `i` = 0 to 3.
#[inline(always)]
pub(crate) fn half_code_vectors<L: Lanes>(
    lanes: L,
    codes: &[u8],
    width: usize,
    column: usize,
) -> [L::B; 4] {
    [
        lanes.load_bytes(&codes[4 * column..]),
        lanes.load_bytes(&codes[4 * (width + column)..]),
        lanes.load_bytes(&codes[4 * (2 * width + column)..]),
        lanes.load_bytes(&codes[4 * (3 * width + column)..]),
    ]
}
