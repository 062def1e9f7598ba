//! Entry points of tiers whose instructions must be detected at run time.

/// Gives `$lanes` (a tuple struct around `PhantomData`) its `detect` and `run`. Both come from one
/// list of features, so what is executed is what was detected; `where` names what else must hold.
macro_rules! needs_features {
    ($lanes:ty $(where $also:path)?, $detected:ident, $($feature:tt)+) => {
        impl $lanes {
            /// `None` when this CPU (or its operating system) lacks a feature.
            pub fn detect() -> Option<Self> {
                let there = $($detected!($feature))&&+ $(&& $also())?;
                there.then_some(Self(std::marker::PhantomData))
            }

            /// Runs `kernel` with these instructions.
            pub fn run<K: $crate::lanes::Kernel>(self, kernel: K) -> K::Output {
                $(#[target_feature(enable = $feature)])+
                fn run<K: $crate::lanes::Kernel>(lanes: $lanes, kernel: K) -> K::Output {
                    kernel.run(lanes)
                }
                // SAFETY: `self` proves that the features were detected.
                unsafe { run(self, kernel) }
            }
        }
    };
}

pub(crate) use needs_features;
