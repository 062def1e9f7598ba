//! AMX: registers that hold a block of codes, beside AVX-512 with VNNI.

// The instructions have no stable intrinsics, so they are written in assembly. They are executed
// only where an `Avx512<Matrix>` exists, which is made where the CPU has them and the system allows
// them, and between loading and releasing the registers' shapes in `run_matrix`.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;

use super::avx512::Avx512;
use super::byte_dot::Matrix;
use crate::lanes::{GROUP, PANEL_ROWS};
use crate::matrix::{
    CodeBlock, MatrixKernel, MatrixLanes, RowBlock, SumBlock, SuperBlock, SuperSums, WideRows,
};

/// Bytes of a vector of codes and of a row of sums.
const VECTOR: usize = 64;

/// Whether the CPU has AMX for bytes and the system lets this process use it. Asking is what makes
/// Linux allow it (Documentation/arch/x86/xstate.rst); other systems are not asked.
pub fn is_allowed() -> bool {
    const HAS_TILES: u32 = 1 << 24;
    const HAS_BYTES: u32 = 1 << 25;
    let has = __cpuid_count(7, 0).edx & (HAS_TILES | HAS_BYTES) == HAS_TILES | HAS_BYTES;
    has && ask_linux()
}

#[cfg(target_os = "linux")]
fn ask_linux() -> bool {
    const ARCH_PRCTL: usize = 158;
    const REQUEST_PERMISSION: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that reads and writes no memory of this process.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack, nomem),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn ask_linux() -> bool {
    false
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Registers: 0 sums, 1 rows of 32 columns, 2 a block of codes; and for halves of a group: 3 rows of
/// 16 columns, 4 half a block of codes. The CPU renames them: one of each is enough.
static SHAPES: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 32, 64, 16, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 8, 16, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// For super-blocks: registers 0 to 2 sums, 3 rows, 4 and 5 blocks of codes, all of 16 rows of 64
/// bytes.
static WIDE_SHAPES: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
};

impl Avx512<Matrix> {
    /// Runs `kernel` with these instructions.
    pub fn run_matrix<K: MatrixKernel>(self, kernel: K) {
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        fn run<K: MatrixKernel>(lanes: Avx512<Matrix>, kernel: K) {
            let shapes = if K::WIDE { &raw const WIDE_SHAPES } else { &raw const SHAPES };
            // SAFETY: AMX is there; the shapes are valid for palette 1. No other code of this
            // program uses the registers, and a panic on the way leaves them loaded, which harms
            // nobody: the next run loads them anew.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) shapes, options(nostack, readonly));
                kernel.run(lanes);
                asm!("tilerelease", options(nostack, nomem));
            }
        }
        // SAFETY: `self` proves that the features were detected.
        unsafe { run(self, kernel) }
    }
}

/// `sums = rows * codes` for registers that [`SHAPES`] gives fitting shapes.
macro_rules! multiply {
    ($sums:literal, $rows:literal, $codes:literal; $from:expr, $block:expr, $out:expr) => {
        asm!(
            concat!("tileloadd tmm", $rows, ", [{rows} + {narrow}]"),
            concat!("tileloadd tmm", $codes, ", [{codes} + {wide}]"),
            concat!("tilezero tmm", $sums),
            concat!("tdpbssd tmm", $sums, ", tmm", $rows, ", tmm", $codes),
            concat!("tilestored [{out} + {wide}], tmm", $sums),
            rows = in(reg) $from,
            codes = in(reg) $block,
            out = in(reg) $out,
            narrow = in(reg) GROUP,
            wide = in(reg) VECTOR,
            options(nostack, preserves_flags),
        )
    };
}

/// Adds 64 columns of rows with both bytes of scaled codes to registers 0 and 1, for addresses in
/// `multiply_scaled`.
macro_rules! add_columns {
    ($multiply:literal, $at:literal) => {
        concat!(
            "tileloadd tmm3, [{rows} + {wide} + ",
            $at,
            "]\n",
            "tileloadd tmm4, [{high} + {wide} + ",
            $at,
            "]\n",
            "tileloadd tmm5, [{low} + {wide} + ",
            $at,
            "]\n",
            $multiply,
            " tmm0, tmm3, tmm4\n",
            $multiply,
            " tmm1, tmm3, tmm5",
        )
    };
}

/// Adds 64 columns of totals with the unsigned minimums to register 2.
macro_rules! add_totals {
    ($at:literal) => {
        concat!(
            "tileloadd tmm3, [{totals} + {wide} + ",
            $at,
            "]\n",
            "tileloadd tmm4, [{minimums} + {wide} + ",
            $at,
            "]\n",
            "tdpbsud tmm2, tmm3, tmm4",
        )
    };
}

/// The sums of a super-block's scaled codes with 256 columns of rows.
macro_rules! multiply_scaled {
    ($multiply:literal; $codes:expr, $from:expr, $out:expr) => {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            add_columns!($multiply, 0),
            add_columns!($multiply, 1024),
            add_columns!($multiply, 2048),
            add_columns!($multiply, 3072),
            "tilestored [{out_high} + {wide}], tmm0",
            "tilestored [{out_low} + {wide}], tmm1",
            rows = in(reg) $from.as_ptr(),
            high = in(reg) $codes.high.as_ptr(),
            low = in(reg) $codes.low.as_ptr(),
            out_high = in(reg) $out.high.as_mut_ptr(),
            out_low = in(reg) $out.low.as_mut_ptr(),
            wide = in(reg) VECTOR,
            options(nostack, preserves_flags),
        )
    };
}

// SAFETY of every block below: an `Avx512<Matrix>` proves the features; the registers' shapes, which
// `run_matrix` has loaded, are those of the arrays.
impl MatrixLanes for Avx512<Matrix> {
    #[inline(always)]
    fn prefetch_codes(self, codes: &[i8]) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(codes.as_ptr()) }
    }
    #[inline(always)]
    fn prefetch_output(self, address: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(address.cast()) }
    }
    #[inline(always)]
    fn store_codes(self, codes: Self::B, zero: u8, out: &mut [i8; 4 * PANEL_ROWS]) {
        unsafe {
            let codes = _mm512_sub_epi8(codes, _mm512_set1_epi8(zero as i8));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), codes);
        }
    }
    #[inline(always)]
    fn load_int(self, values: &[i32; PANEL_ROWS]) -> Self::I {
        unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
    }
    #[inline(always)]
    fn multiply(self, codes: &CodeBlock, rows: &RowBlock, out: &mut SumBlock) {
        let (codes, rows, out) = (codes.as_ptr(), rows.as_ptr(), out.as_mut_ptr());
        unsafe { multiply!("0", "1", "2"; rows, codes, out) }
    }
    #[inline(always)]
    fn multiply_halves(self, codes: &CodeBlock, rows: &RowBlock, out: &mut [SumBlock; 2]) {
        for (half, out) in out.iter_mut().enumerate() {
            let codes = codes[4 * half..].as_ptr();
            // Rows stay `GROUP` bytes apart: only the first one begins elsewhere.
            let rows = rows.as_flattened()[GROUP / 2 * half..].as_ptr();
            let out = out.as_mut_ptr();
            unsafe { multiply!("0", "3", "4"; rows, codes, out) }
        }
    }
    #[inline(always)]
    fn store_scaled(
        self,
        codes: Self::B,
        zero: u8,
        scale: Self::I,
        high: &mut [i8; 4 * PANEL_ROWS],
        low: &mut [i8; 4 * PANEL_ROWS],
    ) {
        unsafe {
            let codes = _mm512_sub_epi8(codes, _mm512_set1_epi8(zero as i8));
            // Even and odd bytes as 16-bit numbers, and the scale of their lane beside each.
            let odd = _mm512_srai_epi16::<8>(codes);
            let even = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(codes));
            let half = _mm512_and_si512(scale, _mm512_set1_epi32(0xffff));
            let scale = _mm512_or_si512(half, _mm512_slli_epi32::<16>(scale));
            let (even, odd) = (_mm512_mullo_epi16(even, scale), _mm512_mullo_epi16(odd, scale));
            let mask = _mm512_set1_epi16(127);
            let first = _mm512_and_si512(even, mask);
            let second = _mm512_slli_epi16::<8>(_mm512_and_si512(odd, mask));
            _mm512_storeu_si512(low.as_mut_ptr().cast(), _mm512_or_si512(first, second));
            let first = _mm512_and_si512(_mm512_srai_epi16::<7>(even), _mm512_set1_epi16(255));
            let second = _mm512_slli_epi16::<8>(_mm512_srai_epi16::<7>(odd));
            _mm512_storeu_si512(high.as_mut_ptr().cast(), _mm512_or_si512(first, second));
        }
    }
    #[inline(always)]
    fn store_scaled_unsigned(
        self,
        codes: Self::B,
        scale: Self::I,
        high: &mut [i8; 4 * PANEL_ROWS],
        low: &mut [i8; 4 * PANEL_ROWS],
    ) {
        unsafe {
            // Products stay below 256, so two bytes are multiplied as one number of 16 bits.
            let scale = _mm512_or_si512(scale, _mm512_slli_epi32::<16>(scale));
            let (upper, lower) = (_mm512_srli_epi16::<3>(scale), _mm512_set1_epi16(7));
            let lower = _mm512_and_si512(scale, lower);
            _mm512_storeu_si512(high.as_mut_ptr().cast(), _mm512_mullo_epi16(codes, upper));
            _mm512_storeu_si512(low.as_mut_ptr().cast(), _mm512_mullo_epi16(codes, lower));
        }
    }
    #[inline(always)]
    fn store_int(self, values: Self::I, out: &mut [i32; PANEL_ROWS]) {
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), values) }
    }
    #[inline(always)]
    fn join<const SHIFT: u32>(self, high: Self::I, low: Self::I) -> Self::I {
        unsafe { _mm512_add_epi32(_mm512_slli_epi32::<SHIFT>(high), low) }
    }
    #[inline(always)]
    fn multiply_super<const MINIMUMS: bool>(
        self,
        codes: &SuperBlock,
        rows: &[WideRows; 4],
        totals: &[WideRows; 2],
        out: &mut SuperSums,
    ) {
        unsafe {
            if MINIMUMS {
                multiply_scaled!("tdpbsud"; codes, rows, out);
            } else {
                multiply_scaled!("tdpbssd"; codes, rows, out);
            }
            if MINIMUMS {
                asm!(
                    "tilezero tmm2",
                    add_totals!(0),
                    add_totals!(1024),
                    "tilestored [{out} + {wide}], tmm2",
                    totals = in(reg) totals.as_ptr(),
                    minimums = in(reg) codes.minimums.as_ptr(),
                    out = in(reg) out.minimums.as_mut_ptr(),
                    wide = in(reg) VECTOR,
                    options(nostack, preserves_flags),
                );
            }
        }
    }
}
