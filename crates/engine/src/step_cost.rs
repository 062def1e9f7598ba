//! What a step costs, learnt from the steps before.
//!
//! Nearly all of a step with few rows is the reading of the weights, so another row is cheap; how
//! cheap depends on model and machine. The time of a step is taken to be a constant and a part per
//! row, fitted to recent steps.

use std::time::Duration;

/// How much of what is known a new step leaves.
const DECAY: f64 = 0.95;

/// Cost of a row as a share of a step of one row, before anything was measured.
const PRIOR_SHARE: f64 = 0.13;

/// Rows squared: how much spread it takes until recent steps count as much as what was known.
const KNOWN_WEIGHT: f64 = 0.5;

/// How much of what is known each step puts into doubt: what gained nothing is tried again after
/// some hundreds of tokens.
const DOUBT: f64 = 0.001;

/// Expected gain over expected cost that a guess must have: the estimates are uncertain.
const MARGIN: f64 = 1.2;

/// How many times the expected time a step counts at most: one that met a stall of the machine says
/// little of the next ones.
const STALL: f64 = 3.0;

/// Decayed sums over recent steps that generated only.
#[derive(Clone, Debug)]
pub(crate) struct StepCost {
    /// What is known of the cost of a row, as a share of a step of one row.
    share: f64,
    /// Start and rows of the step that is running; rows 0: one that does not count.
    running: Option<(Duration, usize)>,
    count: f64,
    rows: f64,
    rows_squared: f64,
    seconds: f64,
    rows_seconds: f64,
}

/// Time of a step: constant part and part per row, in any unit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    constant: f64,
    row: f64,
}

impl Default for StepCost {
    fn default() -> Self {
        Self {
            share: PRIOR_SHARE,
            running: None,
            count: 0.0,
            rows: 0.0,
            rows_squared: 0.0,
            seconds: 0.0,
            rows_seconds: 0.0,
        }
    }
}

impl StepCost {
    /// A step starts; the one before, if any, has just ended.
    pub fn start(&mut self, now: Duration) {
        if let Some((started, rows)) = self.running.take() {
            let seconds = now.saturating_sub(started).as_secs_f64();
            if rows > 0 && seconds > 0.0 {
                self.learn(rows as f64, seconds);
            }
        }
        self.running = Some((now, 0));
    }

    /// The step that is running reads so many rows, and only to generate.
    pub fn generates(&mut self, rows: usize) {
        if let Some(running) = &mut self.running {
            running.1 = rows;
        }
    }

    /// There is nothing to do: what passes until the next step is not its time.
    pub fn idle(&mut self) {
        self.running = None;
    }

    fn learn(&mut self, rows: f64, mut seconds: f64) {
        if self.count > 0.0 {
            let line = self.line();
            seconds = seconds.min(STALL * (line.constant + line.row * rows));
        }
        let add = |sum: &mut f64, value: f64| *sum = *sum * DECAY + value;
        add(&mut self.count, 1.0);
        add(&mut self.rows, rows);
        add(&mut self.rows_squared, rows * rows);
        add(&mut self.seconds, seconds);
        add(&mut self.rows_seconds, rows * seconds);
        let line = self.line();
        self.share = line.row / (line.constant + line.row);
        self.share += (PRIOR_SHARE - self.share) * DOUBT;
    }

    fn line(&self) -> Line {
        if self.count == 0.0 {
            return Line { constant: 1.0 - self.share, row: self.share };
        }
        let (rows, seconds) = (self.rows / self.count, self.seconds / self.count);
        let variance = (self.rows_squared / self.count - rows * rows).max(0.0);
        let covariance = self.rows_seconds / self.count - rows * seconds;
        let known = seconds / ((1.0 - self.share) / self.share + rows);
        let slope = (covariance + KNOWN_WEIGHT * known) / (variance + KNOWN_WEIGHT);
        // No row costs nothing, and none more than a step of its own.
        let row = slope.clamp(0.01 * seconds / rows, seconds / rows);
        Line { constant: seconds - row * rows, row }
    }

    /// How many of up to `most` guesses, each right with probability `right` if all before it
    /// were, are worth their rows in a step that has `rows` rows already and makes as many tokens.
    pub fn worthwhile(&self, rows: usize, right: f32, most: usize) -> usize {
        let line = self.line();
        let mut tokens = rows as f64;
        let mut time = line.constant + line.row * tokens;
        let mut all_right = 1.0;
        (0..most)
            .take_while(|_| {
                all_right *= f64::from(right);
                let gains = all_right > MARGIN * line.row * tokens / time;
                tokens += all_right;
                time += line.row;
                gains
            })
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is learnt from steps of `rows` rows, each `constant + row * rows` milliseconds long.
    fn learnt(constant: u64, row: u64, rows: impl IntoIterator<Item = usize>) -> StepCost {
        let mut cost = StepCost::default();
        let mut now = Duration::ZERO;
        for rows in rows {
            cost.start(now);
            cost.generates(rows);
            now += Duration::from_millis(constant + row * rows as u64);
        }
        cost.start(now);
        cost
    }

    #[test]
    fn constant_and_part_per_row_are_found() {
        let line = learnt(100, 10, (0..200).map(|at| 1 + at % 8)).line();
        assert!((line.constant - 0.1).abs() < 0.01 && (line.row - 0.01).abs() < 0.001, "{line:?}");
        // Without spread what is known beforehand has to do.
        let line = learnt(87, 13, (0..200).map(|_| 1)).line();
        assert!((line.constant - 0.087).abs() < 0.001 && (line.row - 0.013).abs() < 0.001);
        assert_eq!(StepCost::default().line().row, PRIOR_SHARE);
        // What was measured is not forgotten when all steps are alike again.
        let line = learnt(1, 50, (0..400).map(|at| if at < 200 { 1 + at % 8 } else { 1 })).line();
        assert!(line.row > 0.8 * (line.constant + line.row), "{line:?}");
    }

    #[test]
    fn guesses_are_worth_what_they_save() {
        let cheap = learnt(100, 3, (0..200).map(|at| 1 + at % 8));
        assert_eq!(cheap.worthwhile(1, 1.0, 8), 8);
        assert!((2..6).contains(&cheap.worthwhile(1, 0.5, 8)));
        assert_eq!(cheap.worthwhile(1, 0.01, 8), 0);
        // Where a row costs as much as a step, or many share a step, guesses gain nothing.
        let dear = learnt(1, 100, (0..200).map(|at| 1 + at % 8));
        assert_eq!(dear.worthwhile(1, 0.9, 8), 0);
        assert!(cheap.worthwhile(64, 0.5, 8) == 0);
        assert_eq!(cheap.worthwhile(1, 1.0, 0), 0);
    }

    #[test]
    fn a_stall_does_not_end_the_guessing() {
        let mut cost = learnt(100, 3, (0..50).map(|at| 1 + at % 8));
        let before = cost.worthwhile(1, 0.9, 8);
        cost.learn(8.0, 20.0);
        assert!(cost.worthwhile(1, 0.9, 8) >= before / 2, "{:?} {before}", cost.line());
        assert!(cost.worthwhile(1, 0.9, 8) > 0);
        // What lasts is no stall.
        (0..50).for_each(|at| cost.learn((1 + at % 8) as f64, 20.0 * (1 + at % 8) as f64));
        assert_eq!(cost.worthwhile(1, 0.9, 8), 0);
    }

    #[test]
    fn prompts_and_pauses_do_not_count() {
        let mut cost = learnt(100, 10, (0..50).map(|at| 1 + at % 8));
        let before = cost.line();
        cost.start(Duration::from_secs(1000));
        // A step with a part of a prompt says nothing.
        cost.start(Duration::from_secs(1010));
        cost.generates(1);
        cost.idle();
        cost.start(Duration::from_secs(2000));
        assert_eq!(cost.line(), before);
    }
}
