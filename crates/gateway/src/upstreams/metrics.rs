//! What channels did, as Prometheus reads it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::channel::Channel;
use super::health::HealthState;

/// Counts of one channel, since its settings are what they are.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    retries: AtomicU64,
    answers: AtomicU64,
    /// Until answers began, in microseconds.
    waited: AtomicU64,
}

impl Counters {
    pub fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub fn took_over(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub fn answered(&self, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.waited.fetch_add(micros, Ordering::Relaxed);
    }
}

type Value = fn(&Channel) -> f64;

fn count(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

/// Name, type and meaning of a metric, and the series of it: an ending of the name, and the value.
type Metric = (&'static str, &'static str, &'static str, &'static [(&'static str, Value)]);

const METRICS: &[Metric] = &[
    (
        "phial_channel_requests_total",
        "counter",
        "Requests that were sent to the channel.",
        &[("", |channel| count(&channel.counters.requests))],
    ),
    (
        "phial_channel_errors_total",
        "counter",
        "Requests that failed there, and answers that broke off.",
        &[("", |channel| count(&channel.counters.errors))],
    ),
    (
        "phial_channel_retries_total",
        "counter",
        "Requests that it took over from a channel that failed.",
        &[("", |channel| count(&channel.counters.retries))],
    ),
    (
        "phial_channel_response_seconds",
        "summary",
        "Time until an answer began.",
        &[
            ("_sum", |channel| count(&channel.counters.waited) / 1e6),
            ("_count", |channel| count(&channel.counters.answers)),
        ],
    ),
    (
        "phial_channel_circuit_open",
        "gauge",
        "1 while the channel is left alone because it kept failing.",
        &[("", |channel| f64::from(channel.health().state == HealthState::Open))],
    ),
    (
        "phial_channel_up",
        "gauge",
        "1 while the channel lists its models and its circuit is closed.",
        &[("", |channel| f64::from(channel.health().state == HealthState::Up))],
    ),
];

/// All metrics of `channels`, in Prometheus' text format.
pub(super) fn write(channels: &[&Channel]) -> String {
    let mut text = String::new();
    if channels.is_empty() {
        return text;
    }
    for (name, kind, meaning, series) in METRICS {
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n");
        for channel in channels {
            let label = escaped(&channel.settings.name);
            for (ending, value) in *series {
                let _ = writeln!(text, "{name}{ending}{{channel=\"{label}\"}} {}", value(channel));
            }
        }
    }
    text
}

/// As a value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::settings::ChannelSettings;
    use super::*;

    #[test]
    fn every_channel_has_a_line_of_each_series_and_names_are_escaped() {
        let settings = |id, name| ChannelSettings::openai(id, name, "http://h", vec!["m".into()]);
        let one = Channel::new(settings(1, "one")).unwrap();
        let two = Channel::new(settings(2, "a \"b\" \\ c")).unwrap();
        one.counters.asked();
        one.counters.asked();
        one.counters.failed();
        one.counters.answered(Duration::from_millis(250));
        two.counters.took_over();
        let text = write(&[&*one, &*two]);
        for line in [
            "# TYPE phial_channel_requests_total counter",
            "phial_channel_requests_total{channel=\"one\"} 2",
            "phial_channel_errors_total{channel=\"one\"} 1",
            "phial_channel_retries_total{channel=\"a \\\"b\\\" \\\\ c\"} 1",
            "phial_channel_response_seconds_sum{channel=\"one\"} 0.25",
            "phial_channel_response_seconds_count{channel=\"one\"} 1",
            "phial_channel_circuit_open{channel=\"one\"} 0",
            "phial_channel_up{channel=\"one\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "no {line} in\n{text}");
        }
        assert_eq!(write(&[]), "");
    }
}
