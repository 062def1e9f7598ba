//! Which instructions this CPU has, and which tier the kernels use.

use std::fmt;
use std::str::FromStr;

use crate::lanes::{Kernel, Portable};
#[cfg(target_arch = "x86_64")]
use crate::x86::{avx2::Avx2, avx512::Avx512};

/// A set of instructions that the kernels are compiled for; the value proves that they are there.
#[derive(Clone, Copy, Debug)]
pub enum Tier {
    /// Plain Rust.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// x86-64 with AVX-512 and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Tier {
    /// Every tier that this CPU can run, best first.
    pub fn available() -> Vec<Tier> {
        let mut tiers = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            tiers.extend(Avx512::detect().map(Tier::Avx512));
            tiers.extend(Avx2::detect().map(Tier::Avx2));
        }
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

    /// `portable`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512(_) => "avx512",
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
            Tier::Avx512(lanes) => lanes.run(kernel),
        }
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
