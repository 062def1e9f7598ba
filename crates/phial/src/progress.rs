//! Progress of long work on standard error; silent where nobody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of bytes. Without a terminal, indicatif draws nothing.
pub struct Bytes {
    bar: ProgressBar,
    message: String,
}

impl Bytes {
    /// A bar that says `message`.
    pub fn new(message: &str) -> Self {
        let bar = ProgressBar::new(0);
        bar.set_style(bar_style());
        bar.set_message(message.to_owned());
        Self { bar, message: message.to_owned() }
    }

    /// How far it is.
    pub fn set(&mut self, message: &str, done: u64, total: Option<u64>) {
        if self.message != message {
            message.clone_into(&mut self.message);
            self.bar.set_message(message.to_owned());
            self.bar.reset();
        }
        self.bar.set_length(total.unwrap_or(done));
        self.bar.set_position(done);
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn bar_style() -> ProgressStyle {
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Says that something takes a moment, and that it goes on.
pub fn spinner(message: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_message(message.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
