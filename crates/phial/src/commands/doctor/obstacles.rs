//! What is in the way of this machine's best speed, and what to do about it.

use super::facts::{Facts, Fit};
use crate::memory;

/// Load below this share of the cores is what an idle system makes by itself.
const BUSY_SHARE: f64 = 0.2;

/// Stolen time below this share is noise.
const STOLEN_SHARE: f64 = 0.03;

/// Swap below this many bytes was put there long ago and is not missed.
const SWAP_BYTES: u64 = 64 << 20;

/// The model and type that people come for.
const MODEL: (&str, &str) = ("phi-4-mini", "q4_k_m");

/// Something that makes models slower, or keeps them from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub what: String,
    pub remedy: String,
}

fn obstacle(what: impl Into<String>, remedy: impl Into<String>) -> Obstacle {
    Obstacle { what: what.into(), remedy: remedy.into() }
}

/// All that is in the way, what matters most first.
pub fn obstacles(facts: &Facts) -> Vec<Obstacle> {
    let mut found = Vec::new();
    found.extend(room(facts));
    found.extend(swap(facts));
    instructions(facts, &mut found);
    cores(facts, &mut found);
    neighbours(facts, &mut found);
    if facts.huge_pages.as_deref() == Some("never") {
        found.push(obstacle(
            "huge pages are switched off: reading weights costs more page look-ups",
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        ));
    }
    found.extend(disk(facts));
    found
}

fn room(facts: &Facts) -> Option<Obstacle> {
    let mut rows = facts.expectations.iter();
    let row = rows.find(|row| (row.model, row.recipe) == MODEL)?;
    let needed = memory::show(row.memory_bytes);
    let name = format!("{} in {}", MODEL.0, MODEL.1);
    match facts.fit(row.memory_bytes) {
        Fit::Yes | Fit::Unknown => None,
        Fit::NotNow => Some(obstacle(
            format!(
                "{name} needs {needed} of memory and {} are free",
                memory::show(facts.memory_available.unwrap_or(0))
            ),
            "stop other programs, or take a model that the table says fits",
        )),
        Fit::No => Some(obstacle(
            format!(
                "{name} needs {needed} of memory and there are {}",
                memory::show(facts.memory_total().unwrap_or(0))
            ),
            match facts.limits.memory_bytes < facts.memory.total
                && facts.limits.memory_bytes.is_some()
            {
                true => "raise the container's limit of memory, or take the starter",
                false => "take a model that the table says fits, such as the starter",
            },
        )),
    }
}

fn swap(facts: &Facts) -> Option<Obstacle> {
    let used = facts.memory.swap_used.filter(|used| *used >= SWAP_BYTES)?;
    Some(obstacle(
        format!(
            "{} of memory are swapped out: the disk is read where memory should be",
            memory::show(used)
        ),
        "stop other programs, then: sudo swapoff -a && sudo swapon -a",
    ))
}

fn instructions(facts: &Facts, found: &mut Vec<Obstacle>) {
    if let Some(problem) = &facts.tier_problem {
        found.push(obstacle(format!("PHIAL_ISA: {problem}"), "unset PHIAL_ISA"));
    }
    let best = facts.tiers.first().copied().unwrap_or(facts.tier);
    if best != facts.tier {
        found.push(obstacle(
            format!("PHIAL_ISA chooses {}, and this CPU has {best}", facts.tier),
            "unset PHIAL_ISA",
        ));
    }
    let remedy = "a newer CPU, or in a virtual machine the host's CPU model (host-passthrough)";
    let what = match best {
        "portable" => "no vector instructions that Phial knows: everything is slow",
        "avx2" | "avx512" => {
            "no VNNI: prompts are read at about a half of what such a CPU could do with it"
        }
        "neon" => "no dot product instructions: prompts are read slowly",
        _ => return,
    };
    found.push(obstacle(what, remedy));
}

fn cores(facts: &Facts, found: &mut Vec<Obstacle>) {
    let allowed = facts.cpu.allowed.or(facts.cpu.cores);
    let threads = facts.threads;
    if let (Some(quota), Some(allowed)) = (facts.limits.cores, allowed)
        && quota < allowed as f64
    {
        let what = format!("the container's quota is {quota:.1} of the {allowed} cores it sees");
        let more = if threads as f64 > quota.max(1.0) {
            format!("; until then --threads {}", quota.floor().max(1.0))
        } else {
            String::new()
        };
        let remedy = format!("raise its CPU limit (docker run --cpus, limits.cpu){more}");
        found.push(obstacle(what, remedy));
    }
    if let (Some(allowed), Some(cores)) = (facts.cpu.allowed, facts.cpu.cores)
        && allowed < cores
    {
        found.push(obstacle(
            format!("this process may use {allowed} of {cores} cores"),
            "start it without taskset or a cpuset (docker run --cpuset-cpus)",
        ));
    }
    if let Some(allowed) = allowed
        && threads > allowed
    {
        found.push(obstacle(
            format!("{threads} threads share {allowed} cores and wait for each other"),
            format!("--threads {allowed}, or leave it out"),
        ));
    }
}

fn neighbours(facts: &Facts, found: &mut Vec<Obstacle>) {
    if let (Some(load), Some(cores)) = (facts.load, facts.cpu.cores)
        && load >= BUSY_SHARE * cores as f64
    {
        let busy = load.min(cores as f64);
        found.push(obstacle(
            format!("other programs kept {busy:.1} of {cores} cores busy over the last minute"),
            "stop them, or expect and measure less than this machine can do",
        ));
    }
    if let Some(stolen) = facts.stolen.filter(|stolen| *stolen >= STOLEN_SHARE) {
        found.push(obstacle(
            format!(
                "the host of this virtual machine took {:.0} % of the time away",
                stolen * 100.0
            ),
            "ask for cores of its own (dedicated), or measure when the host is quieter",
        ));
    }
}

fn disk(facts: &Facts) -> Option<Obstacle> {
    if let Some(problem) = &facts.store.problem {
        return Some(obstacle(
            format!("the store of models cannot be read: {problem}"),
            "set PHIAL_HOME to a folder that this user may write to",
        ));
    }
    let mut rows = facts.expectations.iter();
    let row = rows.find(|row| (row.model, row.recipe) == MODEL)?;
    let free = facts.store.free_bytes?;
    let is_here = facts.store.models.iter().any(|(name, _)| name == MODEL.0);
    (!is_here && free < row.file_bytes).then(|| {
        obstacle(
            format!(
                "{} takes {} of disk and {} are free",
                MODEL.0,
                memory::show(row.file_bytes),
                memory::show(free)
            ),
            "make room, or set PHIAL_HOME to a folder on another disk",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ceilings::Ceilings;
    use crate::commands::doctor::cgroup::Limits;
    use crate::commands::doctor::expect::Expectation;
    use crate::commands::doctor::facts::StoreFacts;
    use crate::commands::system::{Cpu, SystemMemory};

    const GB: u64 = 1_000_000_000;

    /// A machine with nothing in the way.
    fn healthy() -> Facts {
        Facts {
            cpu: Cpu { model: None, cores: Some(4), allowed: Some(4) },
            tiers: vec!["avx512vnni", "avx2", "portable"],
            tier: "avx512vnni",
            tier_problem: None,
            threads: 4,
            threads_given: false,
            limits: Limits::default(),
            memory: SystemMemory { total: Some(16 * GB), swap_total: Some(0), swap_used: Some(0) },
            memory_available: Some(12 * GB),
            huge_pages: Some("madvise".to_owned()),
            load: Some(0.3),
            stolen: Some(0.0),
            ceilings: Ceilings { bandwidth: 1.0, bandwidth_of_one: 1.0, dot: 1.0, float: 1.0 },
            expectations: vec![Expectation {
                model: "phi-4-mini",
                recipe: "q4_k_m",
                file_bytes: 2 * GB,
                memory_bytes: 3 * GB,
                decode_ceiling: 1.0,
                prefill_ceiling: 1.0,
            }],
            store: StoreFacts { free_bytes: Some(100 * GB), ..StoreFacts::default() },
        }
    }

    #[test]
    fn each_obstacle_is_found_alone() {
        assert_eq!(obstacles(&healthy()), []);
        type Case = (fn(&mut Facts), &'static str);
        let cases: &[Case] = &[
            (|f| f.memory_available = Some(GB), "1.00 GB are free"),
            (|f| (f.memory.total, f.memory_available) = (Some(2 * GB), Some(GB)), "there are 2.00"),
            (|f| f.memory.swap_used = Some(GB), "swapped out"),
            (|f| f.tier_problem = Some("no such".to_owned()), "PHIAL_ISA: no such"),
            (|f| f.tier = "avx2", "PHIAL_ISA chooses avx2"),
            (|f| (f.tiers, f.tier) = (vec!["avx2", "portable"], "avx2"), "no VNNI"),
            (|f| (f.tiers, f.tier) = (vec!["portable"], "portable"), "no vector"),
            (|f| f.limits.cores = Some(1.5), "quota is 1.5 of the 4 cores"),
            (|f| f.cpu.cores = Some(8), "4 of 8 cores"),
            (|f| f.threads = 6, "6 threads share 4"),
            (|f| f.load = Some(3.0), "3.0 of 4 cores busy"),
            (|f| f.stolen = Some(0.2), "20 %"),
            (|f| f.huge_pages = Some("never".to_owned()), "huge pages"),
            (|f| f.store.free_bytes = Some(GB), "of disk"),
            (|f| f.store.problem = Some("denied".to_owned()), "denied"),
        ];
        for (spoil, expected) in cases {
            let mut facts = healthy();
            spoil(&mut facts);
            let found = obstacles(&facts);
            assert_eq!(found.len(), 1, "{expected}: {found:?}");
            assert!(found[0].what.contains(expected), "{expected}: {found:?}");
            assert!(!found[0].remedy.is_empty());
        }
    }

    #[test]
    fn what_is_unknown_is_not_in_the_way() {
        let mut facts = healthy();
        facts.cpu = Cpu::default();
        facts.memory = SystemMemory::default();
        facts.store = StoreFacts::default();
        (facts.memory_available, facts.huge_pages) = (None, None);
        (facts.load, facts.stolen) = (None, None);
        assert_eq!(obstacles(&facts), []);
    }

    #[test]
    fn the_remedy_for_a_quota_says_how_many_threads() {
        let mut facts = healthy();
        facts.limits.cores = Some(2.5);
        assert!(obstacles(&facts)[0].remedy.ends_with("until then --threads 2"));
        facts.threads = 2;
        assert!(!obstacles(&facts)[0].remedy.contains("--threads"));
    }
}
