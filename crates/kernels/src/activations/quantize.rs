//! From values to codes.

use super::{CodedTile, Codes, Span};
use crate::lanes::{GROUP, Kernel, Lanes, SUPER_GROUPS};
use crate::matrix::{MATRIX_ROWS, WIDE};

/// Bytes of a row's totals of a group, as [`super::SuperTile`] has them.
const TOTAL_CODES: usize = 16;

/// How many of them count four times.
const TOTAL_FOURS: usize = 8;

/// Codes of one row of values: row `row` of a tile and, for 16 bits, the one behind it.
pub(super) struct Quantize<'a, 'b> {
    pub values: &'a [f32],
    pub out: &'a mut CodedTile<'b>,
    pub row: usize,
    pub kind: Codes,
}

impl Kernel for Quantize<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let groups = self.values.as_chunks().0;
        match self.kind {
            Codes::None => {}
            Codes::Eight(Span::Group) => self.spans::<L, 1>(lanes, groups.as_chunks().0, false),
            Codes::Sixteen(Span::Group) => self.spans::<L, 1>(lanes, groups.as_chunks().0, true),
            Codes::Eight(Span::Super) => self.supers(lanes, groups, false),
            Codes::Sixteen(Span::Super) => self.supers(lanes, groups, true),
        }
    }
}

impl Quantize<'_, '_> {
    #[inline(always)]
    fn supers<L: Lanes>(self, lanes: L, groups: &[[f32; GROUP]], sixteen: bool) {
        self.spans::<L, SUPER_GROUPS>(lanes, groups.as_chunks().0, sixteen);
    }

    /// Spans of `N` groups under one scale.
    #[inline(always)]
    fn spans<L: Lanes, const N: usize>(self, lanes: L, spans: &[[[f32; GROUP]; N]], sixteen: bool) {
        let Self { out, row, .. } = self;
        for (index, span) in spans.iter().enumerate() {
            let scale = Scale::of(lanes, span.as_flattened());
            let mut rest = [[0.0; GROUP]; N];
            for (group, (values, rest)) in span.iter().zip(&mut rest).enumerate() {
                let quantized = scale.codes(lanes, values);
                out.put(index * N + group, row, &quantized, N > 1);
                if sixteen {
                    *rest = quantized.rest(values);
                }
            }
            if sixteen {
                let scale = Scale::of(lanes, rest.as_flattened());
                for (group, values) in rest.iter().enumerate() {
                    let quantized = scale.codes(lanes, values);
                    out.put(index * N + group, row + 1, &quantized, N > 1);
                }
            }
        }
    }
}

impl CodedTile<'_> {
    /// Puts a group of a row where products look for it. `exact`: its scale is that of 256 columns.
    #[inline(always)]
    fn put(&mut self, index: usize, row: usize, group: &QuantizedGroup, exact: bool) {
        let at = index * self.rows + row;
        let wide = !self.totals.is_empty();
        let codes = if wide {
            (index / 2 * MATRIX_ROWS + row) * WIDE + index % 2 * GROUP
        } else {
            at * GROUP
        };
        self.codes[codes..][..GROUP].copy_from_slice(&group.codes);
        self.scales[at] = group.scale;
        self.sums[2 * at..][..2].copy_from_slice(&group.sums);
        let total = group.sums[0] + group.sums[1];
        self.offsets[at] = if exact { total as f32 } else { group.scale * total as f32 };
        if wide {
            let at = (index / 4 * MATRIX_ROWS + row) * WIDE + index % 4 * TOTAL_CODES;
            self.totals[at..][..TOTAL_CODES].copy_from_slice(&total_codes(total));
        }
    }
}

/// `total`, of 32 codes, as a sum of codes of which the first eight count four times.
#[inline(always)]
fn total_codes(total: i32) -> [i8; TOTAL_CODES] {
    let mut codes = [0; TOTAL_CODES];
    let mut fours = total >> 2;
    for code in &mut codes[..TOTAL_FOURS] {
        let part = fours.clamp(-127, 127);
        *code = part as i8;
        fours -= part;
    }
    codes[TOTAL_FOURS] = (total & 3) as i8;
    codes
}

/// What codes are multiplied with, and its inverse.
#[derive(Clone, Copy)]
struct Scale {
    scale: f32,
    inverse: f32,
}

impl Scale {
    /// The scale under which the largest of `values` is 127.
    #[inline(always)]
    fn of<L: Lanes>(lanes: L, values: &[f32]) -> Self {
        let mut largest = lanes.splat(0.0);
        for part in values.chunks_exact(L::COUNT) {
            largest = lanes.max(lanes.abs(lanes.load(part)), largest);
        }
        let largest = lanes.largest(largest);
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        Self { scale: largest / 127.0, inverse: if inverse.is_finite() { inverse } else { 0.0 } }
    }

    /// A group under this scale.
    #[inline(always)]
    fn codes<L: Lanes>(self, lanes: L, values: &[f32; GROUP]) -> QuantizedGroup {
        let inverse = lanes.splat(self.inverse);
        let (mut codes, mut sums) = ([0; GROUP], [0; 2]);
        let parts = values.chunks_exact(L::COUNT).zip(codes.chunks_exact_mut(L::COUNT));
        for (part, (values, codes)) in parts.enumerate() {
            let sum = lanes.store_i8(lanes.mul(lanes.load(values), inverse), codes);
            sums[part * L::COUNT / 16] += sum;
        }
        QuantizedGroup { codes, scale: self.scale, sums }
    }
}

/// 32 values in 8 bits: `value ≈ scale * code`.
#[derive(Clone, Copy)]
struct QuantizedGroup {
    codes: [i8; GROUP],
    scale: f32,
    /// Sums of the codes of both halves.
    sums: [i32; 2],
}

impl QuantizedGroup {
    /// What the codes leave over of `values`.
    #[inline(always)]
    fn rest(&self, values: &[f32; GROUP]) -> [f32; GROUP] {
        let mut rest = [0.0; GROUP];
        for ((rest, value), code) in rest.iter_mut().zip(values).zip(self.codes) {
            *rest = f32::from(code).mul_add(-self.scale, *value);
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_total_is_the_sum_of_its_codes() {
        let limit = 127 * GROUP as i32;
        for total in -limit..=limit {
            let codes = total_codes(total).map(i32::from);
            let sum: i32 = codes[..TOTAL_FOURS].iter().sum::<i32>() * 4
                + codes[TOTAL_FOURS..].iter().sum::<i32>();
            assert_eq!(sum, total);
        }
    }
}
