//! What the server tells its operator on standard error.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Whether everything is said in JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// What is logged when nobody chose, and when a format was chosen: then each request has its line.
const QUIET: &str = "warn";
const REQUESTS: &str = "warn,phial=info";

/// Logs from here on: warnings alone unless a format is given. `PHIAL_LOG` decides otherwise.
pub fn start(format: Option<LogFormat>) {
    let usual = if format.is_some() { REQUESTS } else { QUIET };
    let filter = EnvFilter::try_from_env("PHIAL_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for people who watch, not for files.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        Some(LogFormat::Json) => {
            JSON.store(true, Ordering::Relaxed);
            log.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
        Some(LogFormat::Text) | None => log.init(),
    }
}

/// A line for the operator that is no warning, in the form of the log.
pub fn say(line: &str) {
    if JSON.load(Ordering::Relaxed) {
        tracing::info!("{line}");
    } else {
        eprintln!("{line}");
    }
}
