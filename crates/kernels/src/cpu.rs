//! Which instructions this CPU has, and which tier the kernels use.

use std::fmt;
use std::str::FromStr;

#[cfg(target_arch = "aarch64")]
use crate::arm::{
    byte_dot::{DotProduct, MixedDotProduct, Widening},
    neon::Neon,
};
use crate::lanes::{Kernel, Lanes, Portable};
use crate::matrix::{MATRIX_ROWS, MatrixKernel};
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use crate::wasm::Simd128;
#[cfg(target_arch = "x86_64")]
use crate::x86::{
    avx2::Avx2,
    avx512::Avx512,
    byte_dot::{Matrix, Pairs, VexVnni, Vnni},
};

/// A set of instructions that the kernels are compiled for; the value proves that they are there.
#[derive(Clone, Copy, Debug)]
pub enum Tier {
    /// Plain Rust.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2<Pairs>),
    /// The same and AVX-VNNI.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(Avx2<VexVnni>),
    /// The same in the encoding of AVX-512, for CPUs that know only that one.
    #[cfg(target_arch = "x86_64")]
    AvxVnniLong(Avx2<Vnni>),
    /// x86-64 with AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512<Pairs>),
    /// The same and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512<Vnni>),
    /// The same and AMX for bytes.
    #[cfg(target_arch = "x86_64")]
    Amx(Avx512<Matrix>),
    /// 64-bit Arm with NEON.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon<Widening>),
    /// The same and the dot instructions.
    #[cfg(target_arch = "aarch64")]
    NeonDotProduct(Neon<DotProduct>),
    /// The same and the dot instruction of mixed signs.
    #[cfg(target_arch = "aarch64")]
    NeonI8mm(Neon<MixedDotProduct>),
    /// WebAssembly with 128-bit vectors.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128(Simd128),
}

impl Tier {
    /// Every tier that this CPU can run, best first.
    pub fn available() -> Vec<Tier> {
        let mut tiers = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            tiers.extend(Avx512::<Matrix>::detect().map(Tier::Amx));
            tiers.extend(Avx512::<Vnni>::detect().map(Tier::Avx512Vnni));
            let short = Avx2::<VexVnni>::detect().map(Tier::AvxVnni);
            tiers.extend(short.or_else(|| Avx2::<Vnni>::detect().map(Tier::AvxVnniLong)));
            tiers.extend(Avx512::<Pairs>::detect().map(Tier::Avx512));
            tiers.extend(Avx2::<Pairs>::detect().map(Tier::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        {
            tiers.extend(Neon::<MixedDotProduct>::detect().map(Tier::NeonI8mm));
            tiers.extend(Neon::<DotProduct>::detect().map(Tier::NeonDotProduct));
            tiers.extend(Neon::<Widening>::detect().map(Tier::Neon));
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        tiers.extend([Tier::Simd128(Simd128)]);
        tiers.push(Tier::Portable);
        tiers
    }

    /// The tier named by the environment variable `PHIAL_ISA`, else the best.
    ///
    /// # Errors
    /// When the name is unknown or this CPU cannot run it.
    pub fn choose() -> Result<Tier, UnknownTier> {
        match std::env::var("PHIAL_ISA") {
            Ok(name) if !name.is_empty() => name.parse(),
            _ => Ok(Self::available()[0]),
        }
    }

    /// As in `PHIAL_ISA`: `portable`, `avx2`, `neon-dotprod`, ...
    pub fn name(self) -> &'static str {
        match self {
            Tier::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Tier::AvxVnni(_) | Tier::AvxVnniLong(_) => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512Vnni(_) => "avx512vnni",
            #[cfg(target_arch = "x86_64")]
            Tier::Amx(_) => "amx",
            #[cfg(target_arch = "aarch64")]
            Tier::Neon(_) => "neon",
            #[cfg(target_arch = "aarch64")]
            Tier::NeonDotProduct(_) => "neon-dotprod",
            #[cfg(target_arch = "aarch64")]
            Tier::NeonI8mm(_) => "neon-i8mm",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Tier::Simd128(_) => "simd128",
        }
    }

    /// Whether products of many rows go through matrix registers.
    pub(crate) fn has_matrix(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Tier::Amx(_) => true,
            _ => false,
        }
    }

    /// Runs `kernel` with this tier's instructions, if it has matrix registers.
    pub(crate) fn run_matrix<K: MatrixKernel>(self, kernel: K) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Tier::Amx(lanes) => lanes.run_matrix(kernel),
            _ => drop(kernel),
        }
        self.has_matrix()
    }

    /// Rows that a matrix product keeps in registers.
    pub(crate) fn product_rows(self) -> usize {
        match self.has_matrix() {
            true => MATRIX_ROWS,
            false => self.run(ProductRows),
        }
    }

    /// Runs `kernel` with this tier's instructions.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Tier::Portable => kernel.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2(lanes) => lanes.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Tier::AvxVnni(lanes) => lanes.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Tier::AvxVnniLong(lanes) => lanes.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512(lanes) => lanes.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512Vnni(lanes) => lanes.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Tier::Amx(lanes) => lanes.run(kernel),
            #[cfg(target_arch = "aarch64")]
            Tier::Neon(lanes) => lanes.run(kernel),
            #[cfg(target_arch = "aarch64")]
            Tier::NeonDotProduct(lanes) => lanes.run(kernel),
            #[cfg(target_arch = "aarch64")]
            Tier::NeonI8mm(lanes) => lanes.run(kernel),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Tier::Simd128(lanes) => lanes.run(kernel),
        }
    }
}

struct ProductRows;

impl Kernel for ProductRows {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> usize {
        L::PRODUCT_ROWS
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(name: &str) -> Result<Self, UnknownTier> {
        Self::available()
            .into_iter()
            .find(|tier| tier.name() == name)
            .ok_or_else(|| UnknownTier(name.to_owned()))
    }
}

/// A tier that does not exist or that this CPU cannot run.
#[derive(Debug)]
pub struct UnknownTier(String);

impl fmt::Display for UnknownTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Tier::available().into_iter().map(Tier::name).collect();
        write!(f, "this CPU has no instruction tier {:?}; it has {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownTier {}
