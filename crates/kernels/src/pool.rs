//! A small pool of threads that share one job at a time, tile by tile.
//!
//! A job is a count of tiles and a function of the tile's index. Threads claim tiles one by one
//! from a shared counter, so a thread that loses its core costs the tile it holds and no more. The
//! caller works too, and waits only for claimed tiles, never for a thread that has not woken yet.
//! Idle workers spin for a moment (the next job of a forward pass is microseconds away), then
//! sleep.

// One lifetime is erased: the job's function is borrowed for the length of `run`, and `run` does
// not return before every claimed tile is done.
#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// How often an idle worker looks for a job before it sleeps (some tens of microseconds).
const SPINS_BEFORE_SLEEP: u32 = 4_000;

/// How often a waiting caller looks before it lets others have its core.
const SPINS_BEFORE_YIELD: u32 = 2_000;

type Job<'a> = &'a (dyn Fn(usize) + Sync);

struct Shared {
    /// Tiles not yet claimed; a claim takes one off.
    unclaimed: AtomicUsize,
    /// Tiles finished.
    finished: AtomicUsize,
    /// Tiles of the job; a tile's index is `count - unclaimed` at its claim.
    count: AtomicUsize,
    /// Points to a `Job` on the stack of `run`; valid while a claimed tile is unfinished.
    job: AtomicPtr<Job<'static>>,
    panicked: AtomicBool,
    stopping: AtomicBool,
    sleepers: Mutex<usize>,
    wake: Condvar,
}

impl Shared {
    /// Claims and runs tiles until none is left.
    fn work(&self) {
        while let Some(left) = self.claim() {
            let index = self.count.load(Ordering::Relaxed) - left;
            // SAFETY: this tile is claimed and unfinished, so `run` of this very job has not
            // returned and the pointer it stored before publishing `unclaimed` is alive.
            let job = unsafe { *self.job.load(Ordering::Relaxed) };
            if catch_unwind(AssertUnwindSafe(|| job(index))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.finished.fetch_add(1, Ordering::Release);
        }
    }

    /// Tiles left before the claim, or `None` when there are none.
    fn claim(&self) -> Option<usize> {
        self.unclaimed
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1))
            .ok()
    }

    fn worker(&self) {
        let mut idle = 0;
        while !self.stopping.load(Ordering::Relaxed) {
            if self.unclaimed.load(Ordering::Relaxed) > 0 {
                self.work();
                idle = 0;
            } else if idle < SPINS_BEFORE_SLEEP {
                idle += 1;
                std::hint::spin_loop();
            } else {
                self.sleep();
                idle = 0;
            }
        }
    }

    fn sleep(&self) {
        let mut sleepers = self.sleepers.lock().expect("no thread panics with this lock");
        *sleepers += 1;
        while self.unclaimed.load(Ordering::Acquire) == 0 && !self.stopping.load(Ordering::Relaxed)
        {
            sleepers = self.wake.wait(sleepers).expect("no thread panics with this lock");
        }
        *sleepers -= 1;
    }

    fn wake_all(&self) {
        if *self.sleepers.lock().expect("no thread panics with this lock") > 0 {
            self.wake.notify_all();
        }
    }
}

/// Threads that run jobs together. Dropping it ends them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    running: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` threads, the caller of [`Pool::run`] among them (at least 1).
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            unclaimed: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            panicked: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            sleepers: Mutex::new(0),
            wake: Condvar::new(),
        });
        let workers = (1..threads)
            .filter_map(|index| {
                let shared = Arc::clone(&shared);
                // A system that refuses a thread leaves a smaller pool, not a dead program.
                std::thread::Builder::new()
                    .name(format!("kernel-{index}"))
                    .spawn(move || shared.worker())
                    .ok()
            })
            .collect();
        Self { shared, workers, running: Mutex::new(()) }
    }

    /// As many threads as this process may use at once: the affinity mask and the container's CPU
    /// quota counted in.
    pub fn default_threads() -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    /// Threads, the caller among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `job(0)` to `job(count - 1)`, each once, in any order and on any thread; returns when
    /// all are done. Jobs do not start jobs.
    ///
    /// # Panics
    /// When a tile panicked, after all others are done.
    pub fn run(&self, count: usize, job: impl Fn(usize) + Sync) {
        if count <= 1 || self.workers.is_empty() {
            (0..count).for_each(job);
            return;
        }
        let guard = self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.run_shared(count, &job);
        drop(guard);
        if self.shared.panicked.swap(false, Ordering::Relaxed) {
            resume_unwind(Box::new("a kernel tile panicked"));
        }
    }

    fn run_shared(&self, count: usize, job: Job<'_>) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; the pointer is used for claimed tiles of this job
        // alone, and all of them are finished before this function returns.
        let mut job: Job<'static> = unsafe { std::mem::transmute::<Job<'_>, Job<'static>>(job) };
        shared.job.store(&raw mut job, Ordering::Relaxed);
        shared.count.store(count, Ordering::Relaxed);
        shared.finished.store(0, Ordering::Relaxed);
        // Publishes the three stores above to whoever claims.
        shared.unclaimed.store(count, Ordering::SeqCst);
        shared.wake_all();
        shared.work();
        let mut spins = 0_u32;
        while shared.finished.load(Ordering::Acquire) < count {
            spins += 1;
            if spins < SPINS_BEFORE_YIELD {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Runs `job` once for each item, on any thread.
    pub fn for_each<T: Send>(&self, items: Vec<T>, job: impl Fn(T) + Sync) {
        let items: Vec<_> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
        self.run(items.len(), |index| {
            let item = items[index].lock().ok().and_then(|mut slot| slot.take());
            job(item.expect("every tile runs once"));
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        {
            let _lock = self.shared.sleepers.lock();
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            // A worker cannot panic: its tiles are caught.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_runs_once_for_every_count_and_thread_number() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            for count in [0, 1, 2, 7, 64, 1000] {
                let runs: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                pool.run(count, |index| {
                    runs[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn many_short_jobs_never_mix() {
        let pool = Pool::new(4);
        for round in 0..20_000_usize {
            let sum = AtomicUsize::new(0);
            pool.run(5, |index| {
                sum.fetch_add(round + index, Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 5 * round + 10);
        }
    }

    #[test]
    fn workers_that_slept_wake_again() {
        let pool = Pool::new(3);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(30));
            let sum = AtomicUsize::new(0);
            pool.run(100, |index| {
                sum.fetch_add(index, Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 4950);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool.run(8, |index| assert!(index != 3));
        }));
        assert!(outcome.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(4, |index| {
            sum.fetch_add(index, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 6);
    }
}
