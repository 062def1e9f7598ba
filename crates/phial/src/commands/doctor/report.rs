//! The facts for a person, and as JSON.

use std::io::{Result, Write};

use serde_json::{Value, json};

use super::expect::{CONTEXT_TOKENS, PROMPT_TOKENS};
use super::facts::{Facts, Fit};
use super::obstacles::Obstacle;
use crate::memory::show;

/// Everything as JSON; what is unknown is null.
pub fn json(facts: &Facts, obstacles: &[Obstacle]) -> Value {
    let models = facts.expectations.iter().map(|row| {
        json!({
            "model": row.model,
            "type": row.recipe,
            "file_bytes": row.file_bytes,
            "memory_bytes": row.memory_bytes,
            "fits": match facts.fit(row.memory_bytes) {
                Fit::Yes => Some(true),
                Fit::NotNow | Fit::No => Some(false),
                Fit::Unknown => None,
            },
            "decode_ceiling_tokens_per_second": row.decode_ceiling,
            "prefill_ceiling_tokens_per_second": row.prefill_ceiling,
        })
    });
    let stored =
        facts.store.models.iter().map(|(name, bytes)| json!({"name": name, "bytes": bytes}));
    let in_the_way =
        obstacles.iter().map(|obstacle| json!({"what": obstacle.what, "remedy": obstacle.remedy}));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cpu": {
            "model": facts.cpu.model,
            "cores": facts.cpu.cores,
            "cores_allowed": facts.cpu.allowed,
            "quota_cores": facts.limits.cores,
        },
        "tiers": facts.tiers,
        "tier": facts.tier,
        "threads": facts.threads,
        "threads_why": why_threads(facts),
        "memory": {
            "total_bytes": facts.memory.total,
            "available_bytes": facts.memory_available,
            "container_limit_bytes": facts.limits.memory_bytes,
            "swap_bytes": facts.memory.swap_total,
            "swap_used_bytes": facts.memory.swap_used,
        },
        "huge_pages": facts.huge_pages,
        "load": facts.load,
        "stolen_share": facts.stolen,
        "bandwidth_bytes_per_second": facts.ceilings.bandwidth,
        "bandwidth_of_one_thread_bytes_per_second": facts.ceilings.bandwidth_of_one,
        "dot_macs_per_second": facts.ceilings.dot,
        "float_macs_per_second": facts.ceilings.float,
        "context_tokens": CONTEXT_TOKENS,
        "prompt_tokens": PROMPT_TOKENS,
        "models": models.collect::<Vec<_>>(),
        "store": {
            "folder": facts.store.folder,
            "models": stored.collect::<Vec<_>>(),
            "free_bytes": facts.store.free_bytes,
        },
        "in_the_way": in_the_way.collect::<Vec<_>>(),
    })
}

/// Everything for a person.
pub fn write(facts: &Facts, obstacles: &[Obstacle], out: &mut impl Write) -> Result<()> {
    let mut line = |name: &str, value: String| writeln!(out, "{name:13} {value}");
    let model = facts.cpu.model.as_deref().unwrap_or("unknown");
    line("CPU", format!("{model}, {} cores", or_unknown(facts.cpu.cores)))?;
    line("instructions", tiers(facts))?;
    line("threads", format!("{}: {}", facts.threads, why_threads(facts)))?;
    line("memory", memory(facts))?;
    line("huge pages", huge_pages(facts.huge_pages.as_deref()))?;
    line("load", load(facts))?;
    let ceilings = &facts.ceilings;
    let mut bandwidth = format!("{:.1} GB/s", ceilings.bandwidth / 1e9);
    if facts.threads > 1 {
        let one = ceilings.bandwidth_of_one / 1e9;
        bandwidth = format!("{bandwidth} with {} threads, {one:.1} GB/s with one", facts.threads);
    }
    line("bandwidth", format!("{bandwidth}: the limit of generation"))?;
    line(
        "multiply-adds",
        format!(
            "{:.0} G/s of 8-bit codes: the limit of reading a prompt; {:.0} G/s of floats (bf16)",
            ceilings.dot / 1e9,
            ceilings.float / 1e9
        ),
    )?;
    table(facts, out)?;
    store(facts, out)?;
    writeln!(out)?;
    if obstacles.is_empty() {
        return writeln!(out, "Nothing is in the way.");
    }
    writeln!(out, "In the way:")?;
    for Obstacle { what, remedy } in obstacles {
        writeln!(out, "  {what}")?;
        writeln!(out, "    -> {remedy}")?;
    }
    Ok(())
}

fn or_unknown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

fn size(bytes: Option<u64>) -> String {
    or_unknown(bytes.map(show))
}

fn tiers(facts: &Facts) -> String {
    let others: Vec<_> = facts.tiers.iter().copied().filter(|tier| *tier != facts.tier).collect();
    if others.is_empty() {
        return format!("{} runs; there are no others", facts.tier);
    }
    format!("{} runs; there are also {}", facts.tier, others.join(", "))
}

/// What decided the number of threads.
fn why_threads(facts: &Facts) -> String {
    let allowed = facts.cpu.allowed.or(facts.cpu.cores);
    if facts.threads_given {
        return "as --threads says".to_owned();
    }
    match (facts.limits.cores, allowed, facts.cpu.cores) {
        (Some(quota), Some(allowed), _) if quota < allowed as f64 => {
            format!("the container's quota is {quota:.1} cores")
        }
        (_, Some(allowed), Some(cores)) if allowed < cores => {
            format!("this process may use {allowed} of {cores} cores")
        }
        _ => "one per core".to_owned(),
    }
}

fn memory(facts: &Facts) -> String {
    let (total, free) = (size(facts.memory.total), size(facts.memory_available));
    let swap = match (facts.memory.swap_total, facts.memory.swap_used) {
        (Some(0), _) => "no swap".to_owned(),
        (Some(swap), Some(0)) => format!("{} of swap, none used", show(swap)),
        (Some(swap), Some(used)) => format!("{} of {} of swap used", show(used), show(swap)),
        _ => "swap unknown".to_owned(),
    };
    let limit = match facts.limits.memory_bytes {
        Some(limit) if facts.memory.total.is_none_or(|total| limit < total) => {
            format!(", the container may take {}", show(limit))
        }
        _ => String::new(),
    };
    format!("{total}{limit}, {free} free, {swap}")
}

fn huge_pages(setting: Option<&str>) -> String {
    match setting {
        Some("always") => "always: everything large is in huge pages".to_owned(),
        Some("madvise") => "madvise: weights are in huge pages, because Phial asks".to_owned(),
        Some("never") => "never: weights are in small pages".to_owned(),
        other => or_unknown(other),
    }
}

fn load(facts: &Facts) -> String {
    let Some(load) = facts.load else { return "unknown".to_owned() };
    let stolen = match facts.stolen {
        Some(stolen) if stolen >= 0.005 => {
            format!("; {:.0} % of the time went to other virtual machines", stolen * 100.0)
        }
        _ => String::new(),
    };
    format!("{load:.2} of {} cores over the last minute{stolen}", or_unknown(facts.cpu.cores))
}

fn table(facts: &Facts, out: &mut impl Write) -> Result<()> {
    writeln!(out)?;
    writeln!(
        out,
        "At best, in tokens/s. These are ceilings out of the two limits above, not measurements; \
         `phial bench`\nmeasures. In memory: weights, keys and values for {CONTEXT_TOKENS} tokens. \
         Prompts of {PROMPT_TOKENS} tokens."
    )?;
    writeln!(out)?;
    writeln!(
        out,
        "{:<12} {:<7} {:>9} {:>10}  {:<8} {:>9} {:>8}",
        "model", "type", "file", "in memory", "fits", "generate", "prompt"
    )?;
    for row in &facts.expectations {
        let fits = match facts.fit(row.memory_bytes) {
            Fit::Yes => "yes",
            Fit::NotNow => "not now",
            Fit::No => "no",
            Fit::Unknown => "unknown",
        };
        writeln!(
            out,
            "{:<12} {:<7} {:>9} {:>10}  {fits:<8} {:>9.1} {:>8.0}",
            row.model,
            row.recipe,
            show(row.file_bytes),
            show(row.memory_bytes),
            row.decode_ceiling,
            row.prefill_ceiling
        )?;
    }
    Ok(())
}

fn store(facts: &Facts, out: &mut impl Write) -> Result<()> {
    let store = &facts.store;
    let folder = store.folder.as_ref().map(|folder| folder.display());
    writeln!(out)?;
    writeln!(out, "{:13} {}, {} free", "store", or_unknown(folder), size(store.free_bytes))?;
    let models: Vec<_> =
        store.models.iter().map(|(name, bytes)| format!("{name} ({})", show(*bytes))).collect();
    let models = match models.is_empty() {
        true => "none yet; get one with: phial pull phi-4-mini   (or: starter)".to_owned(),
        false => models.join(", "),
    };
    writeln!(out, "{:13} {models}", "models")
}
