//! What the program says of the machine, and of a model's speed beside it.

mod driving;

use driving::{phial, refuse, succeed};
use serde_json::Value;

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("no number {name} in {value}"))
}

/// Both measure the machine: one after the other, so that neither measures its sibling.
#[test]
fn the_machine_and_a_model_are_measured() {
    let home = tempfile::tempdir().unwrap();
    doctor_tells_the_machine(home.path());
    bench_tells_shares_of_the_ceilings(home.path());
}

fn doctor_tells_the_machine(home: &std::path::Path) {
    let facts: Value =
        serde_json::from_str(&succeed(phial(home).args(["doctor", "--json"]))).unwrap();
    for (name, least, most) in [
        ("threads", 1.0, 4096.0),
        ("bandwidth_bytes_per_second", 1e8, 1e13),
        ("bandwidth_of_one_thread_bytes_per_second", 1e8, 1e13),
        ("dot_macs_per_second", 1e8, 1e15),
        ("float_macs_per_second", 1e7, 1e15),
    ] {
        let found = number(&facts, name);
        assert!((least..most).contains(&found), "{name}: {found}");
    }
    let tiers = facts["tiers"].as_array().unwrap();
    assert!(tiers.contains(&facts["tier"]) && tiers.contains(&"portable".into()), "{facts}");
    let models = facts["models"].as_array().unwrap();
    for (model, count) in [("starter", 6), ("phi-4-mini", 5)] {
        assert_eq!(models.iter().filter(|row| row["model"] == model).count(), count);
    }
    for row in models {
        assert!(number(row, "file_bytes") > 5e7 && number(row, "memory_bytes") > 5e7, "{row}");
        assert!(number(row, "decode_ceiling_tokens_per_second") > 0.0, "{row}");
        assert!(number(row, "prefill_ceiling_tokens_per_second") > 0.0, "{row}");
    }
    assert!(facts["store"]["folder"].as_str().unwrap().starts_with(home.to_str().unwrap()));
    assert!(facts["in_the_way"].is_array());

    let mut command = phial(home);
    // A tier that does not exist is in the way, and no reason to say nothing.
    let text = succeed(command.arg("doctor").args(["--threads", "1"]).env("PHIAL_ISA", "none"));
    for part in ["CPU ", "bandwidth ", "phi-4-mini ", "In the way:", "unset PHIAL_ISA"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

fn bench_tells_shares_of_the_ceilings(home: &std::path::Path) {
    let model = home.join("nano.gguf");
    succeed(phial(home).arg("synth").args(["--preset", "phi-4-mini-nano"]).arg(&model));
    let bench = |more: &[&str]| {
        let mut command = phial(home);
        command.arg("bench").arg("--model").arg(&model).args(["-p", "64", "-n", "8"]).args(more);
        command
    };
    let outcome: Value =
        serde_json::from_str(&succeed(&mut bench(&["--depth", "40", "--repeat", "4", "--json"])))
            .unwrap();
    for name in ["prefill_share", "decode_share"] {
        let share = number(&outcome, name);
        assert!(share > 0.0 && share < 1.5, "{name}: {share}");
    }
    for what in ["prefill", "decode"] {
        let runs = &outcome["runs"][what];
        assert_eq!(runs["each"].as_array().unwrap().len(), 4);
        let median = number(&outcome, &format!("{what}_tokens_per_second"));
        assert_eq!(median, number(runs, "median"));
        assert!(number(runs, "minimum") <= median && median <= number(runs, "maximum"));
    }
    assert!(number(&outcome, "bandwidth_bytes_per_second") > 1e8);
    // Weights and half of the 48 positions of 4 layers, 2 heads of 64, keys and values in f16.
    let expected = number(&outcome, "packed_bytes") + 44.5 * 2048.0;
    assert_eq!(number(&outcome, "decode_step_bytes"), expected);
    if cfg!(target_os = "linux") {
        assert!(number(&outcome, "overhead_bytes") < 1e9, "{outcome}");
    }
    let text = succeed(&mut bench(&["--streams", "2", "--repeat", "1"]));
    assert!(text.contains("% of the ceiling") && text.contains("2 at once"), "{text}");
    refuse(&mut bench(&["--streams", "0"]));
}
