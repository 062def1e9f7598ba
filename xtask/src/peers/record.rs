//! Measurements on paper: every number as it came, and tables to read.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value as Json, json};

use super::measures::{NOT_MEASURED, Target};
use super::trial::Engine;
use super::{Figure, Made, Plan, Row};
use crate::machine::Machine;

/// The model whose shape the targets were set for.
const TARGET_MODEL: &str = "phi-4-mini";

/// All measurements of one plan.
pub struct Record<'a> {
    pub plan: &'a Plan,
    pub machine: &'a Machine,
    pub rows: &'a [Row],
    pub made: &'a [Made],
}

/// Minimum, median and maximum of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    minimum: f64,
    median: f64,
    maximum: f64,
}

impl Spread {
    /// `None` of nothing.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (&minimum, &maximum) = (values.first()?, values.last()?);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { minimum, median, maximum })
    }

    fn json(self) -> Json {
        json!({ "minimum": self.minimum, "median": self.median, "maximum": self.maximum })
    }
}

impl Figure {
    fn spread(&self) -> Option<Spread> {
        Spread::of(self.values.iter().filter_map(|value| value.as_ref().ok().copied()))
    }

    /// The number of a run.
    fn value(&self, run: usize) -> Option<f64> {
        self.values.get(run)?.as_ref().ok().copied()
    }

    fn failure(&self) -> Option<&str> {
        self.values.iter().find_map(|value| value.as_ref().err()).map(String::as_str)
    }
}

impl Row {
    fn runs(&self) -> usize {
        self.figures[0].values.len()
    }

    /// Phial's numbers, each as a multiple of the other engine's in the same run.
    fn ratios(&self, other: &Figure) -> Option<Spread> {
        let ratio = |run| Some(self.figures[0].value(run)? / other.value(run)?);
        Spread::of((0..self.runs()).filter_map(ratio))
    }

    /// The best number of the other engines in a run.
    fn best(&self, run: usize) -> Option<f64> {
        let values = self.figures[1..].iter().filter_map(|figure| figure.value(run));
        match self.measure.value.more_is_better() {
            true => values.max_by(f64::total_cmp),
            false => values.min_by(f64::total_cmp),
        }
    }

    /// What Phial reached of a target, run by run.
    fn reached(&self, target: Target) -> Option<Spread> {
        let phial = &self.figures[0];
        match target {
            Target::AtLeast(_) | Target::AtMost(_) => phial.spread(),
            Target::TimesDefaultAtLeast(_) | Target::TimesDefaultAtMost(_) => {
                self.ratios(&self.figures[1])
            }
            Target::TimesBestAtLeast(_) => Spread::of(
                (0..self.runs()).filter_map(|run| Some(phial.value(run)? / self.best(run)?)),
            ),
            Target::CeilingShareAtLeast(_) => Spread::of(phial.shares.iter().flatten().copied()),
        }
    }
}

impl Target {
    fn holds(self, reached: f64) -> bool {
        match self {
            Self::AtLeast(wanted)
            | Self::TimesDefaultAtLeast(wanted)
            | Self::TimesBestAtLeast(wanted)
            | Self::CeilingShareAtLeast(wanted) => reached >= wanted,
            Self::AtMost(wanted) | Self::TimesDefaultAtMost(wanted) => reached <= wanted,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::AtLeast(wanted) => format!("≥ {wanted} {unit}"),
            Self::AtMost(wanted) => format!("≤ {wanted} {unit}"),
            Self::TimesDefaultAtLeast(wanted) => format!("≥ {wanted} × llama.cpp's default"),
            Self::TimesDefaultAtMost(wanted) => format!("≤ {wanted} × llama.cpp's default"),
            Self::TimesBestAtLeast(wanted) => format!("≥ {wanted} × the best other"),
            Self::CeilingShareAtLeast(wanted) => format!("≥ {wanted} of the ceiling"),
        }
    }
}

impl Record<'_> {
    /// Writes `peers-MODEL-THREADS` below `folder`, as [`Machine::write`].
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let model = Path::new(&self.plan.model).file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("peers-{model}-{}-threads", self.plan.threads);
        self.machine.write(folder, &name, &self.json(), &self.page())
    }

    fn json(&self) -> Json {
        let figures = self.rows.iter().flat_map(|row| {
            row.figures.iter().map(|figure| {
                json!({
                    "measure": row.measure.name,
                    "weights": row.weights,
                    "engine": figure.engine.name(),
                    "unit": row.measure.value.unit(),
                    "values": figure.values.iter().map(|v| v.as_ref().ok()).collect::<Vec<_>>(),
                    "ceiling_shares": figure.shares,
                    "failure": figure.failure(),
                })
            })
        });
        let targets = self.targets().map(|(row, target, reached)| {
            json!({
                "measure": row.measure.name,
                "weights": row.weights,
                "target": target.text(row.measure.value.unit()),
                "reached": reached.map(Spread::json),
                "holds": reached.map(|reached| target.holds(reached.median)),
            })
        });
        let trials = self.made.iter().map(|made| {
            json!({
                "run": made.run + 1,
                "engine": made.engine.name(),
                "command": made.outcome.command,
                "answer": made.outcome.answer.as_ref().ok(),
                "failure": made.outcome.answer.as_ref().err(),
            })
        });
        json!({
            "machine": self.machine.json(),
            "command": self.plan.command(),
            "targets": targets.collect::<Vec<_>>(),
            "figures": figures.collect::<Vec<_>>(),
            "trials": trials.collect::<Vec<_>>(),
        })
    }

    fn targets(&self) -> impl Iterator<Item = (&Row, Target, Option<Spread>)> {
        let rows = if self.plan.model == TARGET_MODEL { self.rows } else { &[] };
        rows.iter().flat_map(|row| {
            row.measure.targets.iter().map(move |target| (row, *target, row.reached(*target)))
        })
    }

    /// The record as Markdown.
    pub fn page(&self) -> String {
        let parts = [self.heading(), self.target_table(), self.figure_table(), self.failures()];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("\n")
    }

    fn heading(&self) -> String {
        let machine = self.machine;
        let said = |engine: fn(Engine) -> bool, name| {
            let mut answers = self.made.iter().filter(|made| engine(made.engine));
            answers.find_map(|made| made.outcome.answer.as_ref().ok()?.get(name).cloned())
        };
        let phial = |name| said(|engine| engine == Engine::Phial, name);
        let giga = |name| {
            let number = phial(name).and_then(|number| number.as_f64());
            number.map_or_else(|| "unknown".to_owned(), |number| format!("{:.0}", number / 1e9))
        };
        let tier = phial("tier");
        let others = self.made.iter().filter(|made| made.engine != Engine::Phial);
        let mut peers: Vec<String> = others
            .filter_map(|made| made.outcome.answer.as_ref().ok()?["engine"].as_str())
            .map(str::to_owned)
            .collect();
        peers.sort();
        peers.dedup();
        let text = |value: &Option<Json>| {
            value.as_ref().and_then(Json::as_str).unwrap_or("unknown").to_owned()
        };
        format!(
            "# {} beside other engines, {} threads\n\n\
             {}\
             - its ceilings, as Phial measured them first: {} GB/s read from memory, {} G \
             multiply-adds/s of 8-bit codes (tier {})\n\
             {}- peers: {}\n- command: `{}`\n\
             - runs done: {} of {}, engines by turns\n\n\
             How to read and repeat this: [bench/README.md](../../README.md).\n",
            Path::new(&self.plan.model).file_name().unwrap_or_default().to_string_lossy(),
            self.plan.threads,
            machine.line(),
            giga("bandwidth_bytes_per_second"),
            giga("dot_macs_per_second"),
            text(&tier),
            machine.begun(),
            if peers.is_empty() { "none".to_owned() } else { peers.join("; ") },
            self.plan.command(),
            self.rows.iter().map(Row::runs).min().unwrap_or(0),
            self.plan.runs,
        )
    }

    fn target_table(&self) -> String {
        let mut lines = String::new();
        for (row, target, reached) in self.targets() {
            let (measure, weights) = (row.measure, &row.weights);
            let wanted = target.text(measure.value.unit());
            let (reached, holds) = match reached {
                None => ("–".to_owned(), "not measured"),
                Some(Spread { minimum, median, maximum }) => (
                    format!("{median:.2} ({minimum:.2} to {maximum:.2})"),
                    if target.holds(median) { "yes" } else { "**no**" },
                ),
            };
            lines +=
                &format!("| {} | {weights} | {wanted} | {reached} | {holds} |\n", measure.what);
        }
        if lines.is_empty() {
            return lines;
        }
        format!(
            "## Targets\n\n| what | weights | target | reached: median (minimum to maximum) | holds |\n\
             |---|---|---|---|---|\n{lines}"
        )
    }

    fn figure_table(&self) -> String {
        let mut lines = String::new();
        for row in self.rows {
            for (at, figure) in row.figures.iter().enumerate() {
                let what = if at == 0 { row.measure.what } else { "" };
                let weights = if at == 0 { &row.weights } else { "" };
                let spread = figure.spread().map_or_else(
                    || "– | – | –".to_owned(),
                    |Spread { minimum, median, maximum }| {
                        format!("{minimum:.2} | {median:.2} | {maximum:.2}")
                    },
                );
                let ratio = if at == 0 { None } else { row.ratios(figure) };
                let share = Spread::of(figure.shares.iter().flatten().copied());
                let number = |number: Option<Spread>| {
                    number.map_or_else(String::new, |number| format!("{:.2}", number.median))
                };
                lines += &format!(
                    "| {what} | {weights} | {} | {spread} | {} | {} | {} |\n",
                    figure.engine.name(),
                    row.measure.value.unit(),
                    number(ratio),
                    number(share),
                );
            }
        }
        format!(
            "## Figures\n\n| what | weights | engine | minimum | median | maximum | unit | Phial / it \
             | of the ceiling |\n|---|---|---|---|---|---|---|---|---|\n{lines}"
        )
    }

    /// What there is no number of, and why.
    fn failures(&self) -> String {
        let mut lines = String::new();
        for row in self.rows {
            for figure in &row.figures {
                if let Some(failure) = figure.failure() {
                    let (what, engine) = (row.measure.what, figure.engine.name());
                    lines += &format!("- {what}, {}, {engine}: {failure}\n", row.weights);
                }
            }
        }
        for (engine, reason) in NOT_MEASURED {
            lines += &format!("- {engine}: {reason}\n");
        }
        format!("## Not measured here\n\n{lines}")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::measures::{MEASURES, Measure};
    use super::super::trial::Outcome;
    use super::*;

    const NO_VALUE: &str = "failed (signal: 9): out of memory";

    /// One row with the numbers of two runs.
    fn row(measure: &'static Measure, numbers: &[[f64; 2]], shares: [f64; 2]) -> Row {
        let peers = measure.settings.iter().map(|setting| Engine::LlamaCpp(*setting));
        let engines = std::iter::once(Engine::Phial).chain(peers);
        let value = |number: &f64| match number.is_finite() {
            true => Ok(*number),
            false => Err(NO_VALUE.to_owned()),
        };
        let figures = engines.zip(numbers).map(|(engine, numbers)| Figure {
            engine,
            values: numbers.iter().map(value).collect(),
            shares: match engine {
                Engine::Phial => shares.map(Some).to_vec(),
                Engine::LlamaCpp(_) | Engine::OnnxGenai => vec![None; 2],
            },
        });
        Row { measure, weights: "q4_k_m".to_owned(), model: "m".into(), figures: figures.collect() }
    }

    fn measure(name: &str) -> &'static Measure {
        MEASURES.iter().find(|measure| measure.name == name).unwrap()
    }

    fn page(model: &str, rows: &[Row]) -> String {
        let plan = Plan { model: model.to_owned(), threads: 2, runs: 2, only: None, phial: None };
        let answer = json!({ "tier": "avx2", "bandwidth_bytes_per_second": 45e9 });
        let made = Made {
            run: 0,
            engine: Engine::Phial,
            model: "m".into(),
            trial: rows[0].measure.trial,
            outcome: Outcome { command: "phial bench".to_owned(), answer: Ok(answer) },
        };
        let record = Record { plan: &plan, machine: &Machine::here(), rows, made: &[made] };
        let folder = tempfile::tempdir().unwrap();
        let path = record.write(folder.path()).unwrap();
        let numbers: Json =
            serde_json::from_str(&fs::read_to_string(path.with_extension("json")).unwrap())
                .unwrap();
        assert_eq!(numbers["trials"][0]["command"], "phial bench");
        fs::read_to_string(path).unwrap()
    }

    fn has(page: &str, part: &str) {
        assert!(page.contains(part), "no {part:?} in {page}");
    }

    #[test]
    fn ratios_are_of_one_run_and_targets_are_judged() {
        let numbers = [[30.0, 20.0], [10.0, 10.0], [5.0, 8.0], [12.5, f64::NAN], [6.0, 6.0]];
        let page = page("phi-4-mini", &[row(measure("decode-4096"), &numbers, [0.8, 0.9])]);
        let what = "generation after 4,096 tokens";
        has(
            &page,
            &format!(
                "| {what} | q4_k_m | ≥ 2.3 × llama.cpp's default | 2.50 (2.00 to 3.00) | yes |"
            ),
        );
        // 30 of 12.5 in the first run, 20 of 10 in the second.
        has(
            &page,
            &format!("| {what} | q4_k_m | ≥ 1.5 × the best other | 2.20 (2.00 to 2.40) | yes |"),
        );
        has(&page, "≥ 0.85 of the ceiling | 0.85 (0.80 to 0.90) | yes |");
        has(&page, "| phial | 20.00 | 25.00 | 30.00 | tokens/s |  | 0.85 |");
        has(
            &page,
            "| llama.cpp, f16, flash attention | 12.50 | 12.50 | 12.50 | tokens/s | 2.40 |  |",
        );
        has(&page, &format!("- {what}, q4_k_m, llama.cpp, f16, flash attention: {NO_VALUE}"));
        has(&page, "45 GB/s read from memory");
        has(&page, "runs done: 2 of 2");
    }

    #[test]
    fn less_is_better_where_it_is_time_or_memory() {
        let rows = [
            row(measure("first-token"), &[[1.5, 1.5], [2.0, 2.0]], [0.0; 2]),
            row(measure("memory"), &[[f64::NAN; 2], [2.0, 2.0]], [0.0; 2]),
        ];
        let page = page("phi-4-mini", &rows);
        has(&page, "≤ 1 s | 1.50 (1.50 to 1.50) | **no** |");
        has(&page, "≤ 0.5 × llama.cpp's default | 0.75 (0.75 to 0.75) | **no** |");
        has(&page, "≤ 300 MB | – | not measured |");
    }

    #[test]
    fn targets_of_one_model_are_not_held_against_another() {
        let page = page("starter", &[row(measure("rows-2"), &[[1.2, 1.2], [1.5, 1.5]], [0.0; 2])]);
        assert!(!page.contains("## Targets"), "{page}");
        has(&page, "| 2 rows in one step | q4_k_m | phial | 1.20 |");
    }
}
