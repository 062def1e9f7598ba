//! A circuit breaker: what keeps failing is left alone for a while.

use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES_MAX: u32 = 5;

/// How long it stays open the first time; twice as long each time that the trial fails.
const OPEN_TIME: Duration = Duration::from_secs(5);

/// The longest that it stays open.
const OPEN_TIME_MAX: Duration = Duration::from_secs(300);

/// A trial that has not come to an end by then is forgotten, and another one may go.
const TRIAL_TIME_MAX: Duration = Duration::from_secs(60);

/// Closed (requests pass), open (none does), or half open (one does, as a trial).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Breaker {
    Closed { failures: u32 },
    Open { until: Instant, trips: u32 },
    HalfOpen { since: Instant, trips: u32 },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether a request may go now. Where one would be the trial, it counts as under way.
    pub fn admit(&mut self, now: Instant) -> bool {
        match *self {
            Self::Closed { .. } => true,
            Self::Open { until, trips } if now >= until => {
                *self = Self::HalfOpen { since: now, trips };
                true
            }
            Self::HalfOpen { since, trips } if now >= since + TRIAL_TIME_MAX => {
                *self = Self::HalfOpen { since: now, trips };
                true
            }
            Self::Open { .. } | Self::HalfOpen { .. } => false,
        }
    }

    /// Whether nothing passes.
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Closed { .. })
    }

    /// When a trial may go; `None` when requests pass.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Closed { .. } => None,
            Self::Open { until, .. } => Some(until.saturating_duration_since(now)),
            Self::HalfOpen { since, .. } => {
                Some((*since + TRIAL_TIME_MAX).saturating_duration_since(now))
            }
        }
    }

    /// An answer came.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// None came.
    pub fn failed(&mut self, now: Instant) {
        *self = match *self {
            Self::Closed { failures } if failures + 1 < FAILURES_MAX => {
                Self::Closed { failures: failures + 1 }
            }
            Self::Closed { .. } => Self::Open { until: now + OPEN_TIME, trips: 1 },
            Self::HalfOpen { trips, .. } => {
                let time = OPEN_TIME.saturating_mul(1 << trips.min(16)).min(OPEN_TIME_MAX);
                Self::Open { until: now + time, trips: trips.saturating_add(1) }
            }
            // A request that was under way when it opened.
            Self::Open { until, trips } => Self::Open { until, trips },
        };
    }

    /// The client went away before anything was known: the next request may be the trial.
    pub fn abandoned(&mut self, now: Instant) {
        if let Self::HalfOpen { trips, .. } = *self {
            *self = Self::Open { until: now, trips };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_a_trial_closes_it() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_MAX - 1 {
            breaker.failed(start);
        }
        breaker.succeeded();
        for _ in 0..FAILURES_MAX - 1 {
            breaker.failed(start);
            assert!(breaker.admit(start));
        }
        breaker.failed(start);
        assert!(!breaker.admit(start));
        assert!(!breaker.admit(start + OPEN_TIME - Duration::from_millis(1)));
        assert_eq!(breaker.wait(start), Some(OPEN_TIME));
        assert!(breaker.admit(start + OPEN_TIME), "the trial");
        assert!(!breaker.admit(start + OPEN_TIME), "one at a time");
        breaker.succeeded();
        assert!(breaker.admit(start + OPEN_TIME));
    }

    #[test]
    fn each_failed_trial_keeps_it_open_for_longer_up_to_a_bound() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        (0..FAILURES_MAX).for_each(|_| breaker.failed(now));
        let mut times = Vec::new();
        for _ in 0..10 {
            let wait = breaker.wait(now).unwrap();
            times.push(wait.as_secs());
            now += wait;
            assert!(breaker.admit(now));
            breaker.failed(now);
        }
        assert_eq!(times, [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
    }

    #[test]
    fn a_trial_without_a_verdict_does_not_block_the_next() {
        let start = Instant::now();
        let mut breaker = Breaker::Open { until: start, trips: 1 };
        assert!(breaker.admit(start));
        breaker.abandoned(start);
        assert!(breaker.admit(start));
        assert!(!breaker.admit(start));
        assert!(breaker.admit(start + TRIAL_TIME_MAX), "forgotten");
        breaker.succeeded();
        breaker.abandoned(start);
        assert!(!breaker.is_open());
    }
}
