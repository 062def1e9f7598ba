//! What is measured, and what is wanted of it: one `Measure` a row.

use super::trial::{Around, Setting, Task, Threads, Trial};

/// One row: a number of each engine, and what Phial's has to be.
pub struct Measure {
    /// For `--only`.
    pub name: &'static str,
    /// For readers.
    pub what: &'static str,
    /// Types of Phi-4-mini's weights to measure it with.
    pub types: &'static [&'static str],
    pub trial: Trial,
    pub value: Value,
    /// The settings of llama.cpp that are measured; its own default comes first.
    pub settings: &'static [Setting],
    /// Whether ONNX Runtime GenAI is measured too, beside weights of 4 bits.
    pub onnx: bool,
    pub targets: &'static [Target],
}

/// The number that an answer is read for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Tokens per second.
    Prefill,
    /// Tokens per second.
    Decode,
    /// Time of a step of generation, in times of a step in the other trial.
    StepTimes(Trial),
    /// Speed of generation, as a share of the speed in the other trial.
    SpeedShare(Trial),
    /// Seconds until the first token.
    FirstToken,
    /// Resident memory that belongs to no file and holds no keys and values.
    Memory,
}

impl Value {
    pub fn unit(self) -> &'static str {
        match self {
            Self::Prefill | Self::Decode => "tokens/s",
            Self::StepTimes(_) => "times one row",
            Self::SpeedShare(_) => "of its own speed",
            Self::FirstToken => "s",
            Self::Memory => "MB",
        }
    }

    pub fn more_is_better(self) -> bool {
        match self {
            Self::Prefill | Self::Decode | Self::SpeedShare(_) => true,
            Self::StepTimes(_) | Self::FirstToken | Self::Memory => false,
        }
    }
}

/// What Phial's number has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// So many times the number of llama.cpp in its default setting.
    TimesDefaultAtLeast(f64),
    TimesDefaultAtMost(f64),
    /// So many times the best number of all other engines and settings.
    TimesBestAtLeast(f64),
    /// So much of what the machine could do at best.
    CeilingShareAtLeast(f64),
}

/// Engines that are worth a comparison and are left out, and why.
pub const NOT_MEASURED: &[(&str, &str)] = &[
    ("ik_llama.cpp", "no package has it, and it cannot load Phi-4-mini"),
    (
        "ONNX Runtime GenAI at other rows",
        "it is measured with phi-4-mini, beside weights of 4 bits",
    ),
];

const ALL_TYPES: &[&str] = &["q4_k_m", "q4_0", "q8_0"];
const ONE_TYPE: &[&str] = &["q4_k_m"];

const DEFAULT: Setting =
    Setting { name: "llama.cpp", kv: "f16", flash_attention: "auto", is_default: true };
const DEFAULT_ONLY: &[Setting] = &[DEFAULT];
/// What decides the speed at depth.
const CACHE_SETTINGS: &[Setting] = &[
    DEFAULT,
    Setting {
        name: "llama.cpp, f16, no flash attention",
        kv: "f16",
        flash_attention: "off",
        is_default: false,
    },
    Setting {
        name: "llama.cpp, f16, flash attention",
        kv: "f16",
        flash_attention: "on",
        is_default: false,
    },
    Setting {
        name: "llama.cpp, q8_0, flash attention",
        kv: "q8_0",
        flash_attention: "on",
        is_default: false,
    },
];

/// A prompt and generation from a short context; most rows need no other trial.
const SHORT: Trial = Trial {
    task: Task::Bench,
    prompt: 512,
    generate: 32,
    depth: 0,
    streams: 1,
    repeat: 3,
    threads: Threads::AsAsked,
    around: Around::Quiet,
};
/// Generation alone.
const STEPS: Trial = Trial { prompt: 0, ..SHORT };
const DEPTH_4096: Trial = Trial { prompt: 0, generate: 16, depth: 4096, ..SHORT };
/// Reading takes minutes, so that the cache it fills serves generation too.
const LONG: Trial = Trial { prompt: 16_384, generate: 16, depth: 16_384, repeat: 1, ..SHORT };
const ONE_THREAD: Trial = Trial { threads: Threads::One, ..STEPS };
const ONE_CPU: Trial = Trial { threads: Threads::Own, around: Around::OneCpu, ..STEPS };
const FIRST_TOKEN: Trial = Trial { task: Task::FirstToken, prompt: 16, generate: 1, ..SHORT };

/// All rows, in the order of measurement.
pub const MEASURES: &[Measure] = &[
    prefill(
        ONE_TYPE,
        &[
            Target::TimesDefaultAtLeast(2.2),
            Target::TimesBestAtLeast(1.4),
            Target::CeilingShareAtLeast(0.55),
        ],
    ),
    prefill(&["q4_0"], &[Target::TimesDefaultAtLeast(2.0)]),
    prefill(&["q8_0"], &[]),
    Measure {
        name: "decode",
        what: "generation, short context",
        types: ALL_TYPES,
        trial: SHORT,
        value: Value::Decode,
        settings: DEFAULT_ONLY,
        onnx: true,
        targets: &[Target::CeilingShareAtLeast(0.95), Target::TimesDefaultAtLeast(1.1)],
    },
    Measure {
        name: "memory",
        what: "memory beyond mapped weights, keys and values",
        types: ONE_TYPE,
        trial: SHORT,
        value: Value::Memory,
        settings: DEFAULT_ONLY,
        onnx: true,
        targets: &[Target::AtMost(300.0)],
    },
    rows("rows-2", "2 rows in one step", Trial { streams: 2, ..STEPS }, &[Target::AtMost(1.1)]),
    rows("rows-4", "4 rows in one step", Trial { streams: 4, ..STEPS }, &[Target::AtMost(1.15)]),
    rows("rows-8", "8 rows in one step", Trial { streams: 8, ..STEPS }, &[Target::AtMost(1.3)]),
    rows("rows-16", "16 rows in one step", Trial { streams: 16, ..STEPS }, &[Target::AtMost(1.8)]),
    share(
        "neighbours-1",
        "generation beside one busy process, of the quiet speed",
        Trial { around: Around::Neighbours(1), ..STEPS },
        STEPS,
        &[Target::AtLeast(0.45)],
    ),
    share(
        "neighbours-2",
        "generation beside two busy processes, of the quiet speed",
        Trial { around: Around::Neighbours(2), ..STEPS },
        STEPS,
        &[Target::AtLeast(0.3)],
    ),
    share(
        "quota",
        "generation with a quota of one CPU, of a one-thread run",
        ONE_CPU,
        ONE_THREAD,
        &[Target::AtLeast(0.95)],
    ),
    Measure {
        name: "first-token",
        what: "from start to the first token of a prompt of 16, warm page cache",
        types: ONE_TYPE,
        trial: FIRST_TOKEN,
        value: Value::FirstToken,
        settings: DEFAULT_ONLY,
        onnx: true,
        targets: &[Target::AtMost(1.0), Target::TimesDefaultAtMost(0.5)],
    },
    depth("decode-4096", "generation after 4,096 tokens", DEPTH_4096),
    depth("decode-16384", "generation after 16,384 tokens", LONG),
    Measure {
        name: "prefill-16384",
        what: "prompt of 16,384 tokens",
        types: ONE_TYPE,
        trial: LONG,
        value: Value::Prefill,
        settings: DEFAULT_ONLY,
        onnx: false,
        targets: &[Target::TimesDefaultAtLeast(2.0)],
    },
];

const fn prefill(types: &'static [&'static str], targets: &'static [Target]) -> Measure {
    Measure {
        name: "prefill-512",
        what: "prompt of 512 tokens",
        types,
        trial: SHORT,
        value: Value::Prefill,
        settings: DEFAULT_ONLY,
        onnx: true,
        targets,
    }
}

const fn rows(
    name: &'static str,
    what: &'static str,
    trial: Trial,
    targets: &'static [Target],
) -> Measure {
    let value = Value::StepTimes(STEPS);
    let settings = DEFAULT_ONLY;
    Measure { name, what, types: ONE_TYPE, trial, value, settings, onnx: true, targets }
}

const fn share(
    name: &'static str,
    what: &'static str,
    trial: Trial,
    of: Trial,
    targets: &'static [Target],
) -> Measure {
    let value = Value::SpeedShare(of);
    let settings = DEFAULT_ONLY;
    Measure { name, what, types: ONE_TYPE, trial, value, settings, onnx: false, targets }
}

const fn depth(name: &'static str, what: &'static str, trial: Trial) -> Measure {
    Measure {
        name,
        what,
        types: ONE_TYPE,
        trial,
        value: Value::Decode,
        settings: CACHE_SETTINGS,
        onnx: false,
        targets: &[
            Target::TimesDefaultAtLeast(2.3),
            Target::TimesBestAtLeast(1.5),
            Target::CeilingShareAtLeast(0.85),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_comes_first_and_ratios_have_what_they_need() {
        for measure in MEASURES {
            let defaults = measure.settings.iter().map(|setting| setting.is_default);
            assert_eq!(defaults.filter(|is_default| *is_default).count(), 1, "{}", measure.name);
            assert!(measure.settings[0].is_default, "{}", measure.name);
            // A ceiling is known of speeds alone.
            let asks = |target: &Target| matches!(target, Target::CeilingShareAtLeast(_));
            let has = matches!(measure.value, Value::Prefill | Value::Decode);
            assert!(has || !measure.targets.iter().any(asks), "{}", measure.name);
        }
    }
}
