//! Asking, in two ways.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Connection, question};

/// Where arrivals begin; the same times in every run.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// From the start of the threads to the first question.
const LEAD: Duration = Duration::from_millis(100);

/// Whom to ask, over how many connections, how long.
pub struct Load {
    address: String,
    question: Vec<u8>,
    connections: usize,
    time: Duration,
}

/// Times at which somebody asks: a Poisson process, as of many who know nothing of each other.
struct Arrivals {
    state: u64,
    next: Duration,
    end: Duration,
    /// Per second.
    rate: f64,
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        let share = (bits as f64 + 0.5) / (1u64 << 53) as f64;
        let next = self.next;
        self.next += Duration::from_secs_f64(-share.ln() / self.rate);
        (next < self.end).then_some(next)
    }
}

impl Load {
    pub fn new(address: &str, key: &str, connections: usize, time: Duration) -> Self {
        let question = question(address, key);
        Self { address: address.to_owned(), question, connections, time }
    }

    /// Questions come at times that were drawn before, `rate` a second. Whichever connection is free
    /// takes the next. Latency counts from the time drawn, so that whoever had to wait for a
    /// connection has waited.
    pub fn at_rate(&self, rate: f64) -> Value {
        let arrivals = Arrivals { state: SEED, next: Duration::ZERO, end: self.time, rate };
        let arrivals = Mutex::new(arrivals);
        self.run(|started| {
            let next = arrivals.lock().unwrap_or_else(PoisonError::into_inner).next()?;
            let due = started + next;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            Some(due)
        })
    }

    /// Every connection asks again as soon as it is answered.
    pub fn closed(&self) -> Value {
        self.run(|started| {
            let now = Instant::now();
            (now < started + self.time).then_some(now)
        })
    }

    /// Asks at the times that `next` waits for, over every connection.
    fn run(&self, next: impl Fn(Instant) -> Option<Instant> + Sync) -> Value {
        let started = Instant::now() + LEAD;
        let ask = || {
            let mut connection = Connection::open(&self.address);
            let mut latencies = Vec::new();
            std::thread::sleep(started.saturating_duration_since(Instant::now()));
            while let Some(due) = next(started) {
                connection.ask(&self.question);
                latencies.push(due.elapsed());
            }
            latencies
        };
        let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.connections).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
        });
        let seconds = started.elapsed().as_secs_f64();
        latencies.sort_unstable();
        let count = latencies.len();
        assert!(count > 0, "nothing was asked");
        let at = |share: f64| {
            let index = ((count as f64 * share) as usize).min(count - 1);
            latencies[index].as_secs_f64() * 1e3
        };
        json!({
            "requests": count, "seconds": seconds, "rate": count as f64 / seconds,
            "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "p999_ms": at(0.999),
            "maximum_ms": at(1.0),
        })
    }
}
