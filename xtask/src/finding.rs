//! Numbers that were measured, held against what they should be.

use serde_json::{Value as Json, json};

/// The head of a table of findings.
pub const TABLE: &str =
    "| what | median (minimum to maximum) | target | holds |\n|---|---|---|---|\n";

/// A number, as often as it was measured.
pub struct Finding {
    pub what: String,
    pub values: Vec<f64>,
    /// Empty for ratios.
    pub unit: &'static str,
    pub target: Option<Target>,
}

/// What a number should be.
#[derive(Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(wanted) => value >= wanted,
            Self::AtMost(wanted) => value <= wanted,
        }
    }

    pub fn text(self) -> String {
        match self {
            Self::AtLeast(wanted) => format!("≥ {wanted:.2}"),
            Self::AtMost(wanted) => format!("≤ {wanted:.2}"),
        }
    }
}

impl Finding {
    pub fn new(what: &str, unit: &'static str) -> Self {
        Self { what: what.to_owned(), values: Vec::new(), unit, target: None }
    }

    pub fn one(what: &str, value: f64, unit: &'static str) -> Self {
        Self { values: vec![value], ..Self::new(what, unit) }
    }

    pub fn wanted(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    fn median(&self) -> Option<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let middle = (values.len().checked_sub(1)?) / 2;
        Some(f64::midpoint(values[middle], values[values.len() / 2]))
    }

    fn holds(&self) -> Option<bool> {
        Some(self.target?.holds(self.median()?))
    }

    /// For a record.
    pub fn json(&self) -> Json {
        json!({
            "what": self.what, "unit": self.unit, "values": self.values,
            "median": self.median(), "target": self.target.map(Target::text),
            "holds": self.holds(),
        })
    }

    /// A row of [`TABLE`].
    pub fn row(&self) -> String {
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let Some(median) = self.median() else {
            return format!("| {} | – | – | – |\n", self.what);
        };
        let spread = match self.values.len() {
            1 => format!("{median:.3}"),
            _ => format!("{median:.3} ({least:.3} to {most:.3})"),
        };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let target = self.target.map(Target::text).unwrap_or_default();
        let holds = match self.holds() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        format!("| {} | {spread}{unit} | {target} | {holds} |\n", self.what)
    }
}
