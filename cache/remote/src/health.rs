//! What came of the requests, and whether there should be more of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After so many failures without a success in between, the server is left alone.
const MAX_FAILURES: u32 = 3;

/// After so many entries that nobody trusted has signed too.
const MAX_BAD: u64 = 8;

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub hits: u64,
    pub misses: u64,
    pub stored: u64,
    /// Entries that should have been written and were not.
    pub unsent: u64,
    /// Entries that are not what a trusted key has signed.
    pub bad_entries: u64,
    pub failures: u64,
    /// What the last failure was.
    pub problem: Option<String>,
    /// Whether the server was left alone from some point on.
    pub is_off: bool,
}

pub struct Health {
    state: Mutex<State>,
    /// Time that failures may take together.
    patience: Duration,
}

#[derive(Default)]
struct State {
    report: Report,
    failures_in_a_row: u32,
    lost: Duration,
}

impl Health {
    pub fn new(patience: Duration) -> Health {
        Health { state: Mutex::default(), patience }
    }

    pub fn hit(&self) {
        let mut state = self.lock();
        state.report.hits += 1;
        state.failures_in_a_row = 0;
    }

    pub fn miss(&self) {
        let mut state = self.lock();
        state.report.misses += 1;
        state.failures_in_a_row = 0;
    }

    pub fn stored(&self) {
        let mut state = self.lock();
        state.report.stored += 1;
        state.failures_in_a_row = 0;
    }

    pub fn unsent(&self) {
        self.lock().report.unsent += 1;
    }

    pub fn bad_entry(&self) {
        let mut state = self.lock();
        state.report.bad_entries += 1;
        state.report.is_off |= state.report.bad_entries >= MAX_BAD;
    }

    /// A request has failed after some time.
    pub fn failed(&self, problem: String, time: Duration) {
        let mut state = self.lock();
        state.report.failures += 1;
        state.failures_in_a_row += 1;
        state.lost += time;
        state.report.problem = Some(problem);
        state.report.is_off |= state.failures_in_a_row >= MAX_FAILURES || state.lost >= self.patience;
    }

    /// There is no way to make a request.
    pub fn give_up(&self, problem: String) {
        let mut state = self.lock();
        state.report.failures += 1;
        state.report.problem = Some(problem);
        state.report.is_off = true;
    }

    pub fn is_off(&self) -> bool {
        self.lock().report.is_off
    }

    pub fn report(&self) -> Report {
        self.lock().report.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_is_left_alone() {
        let short = Duration::from_millis(1);
        let health = Health::new(Duration::from_secs(1));
        for _ in 0..10 {
            // Some failures are no reason.
            health.failed(String::from("reset"), short);
            health.failed(String::from("reset"), short);
            health.miss();
        }
        assert!(!health.is_off());
        (0..3).for_each(|_| health.failed(String::from("refused"), short));
        assert!(health.is_off());
        let report = health.report();
        assert_eq!((report.failures, report.misses, report.problem.as_deref()), (23, 10, Some("refused")));
    }

    #[test]
    fn a_slow_server_is_left_alone_sooner() {
        let health = Health::new(Duration::from_secs(1));
        health.failed(String::from("slow"), Duration::from_millis(600));
        health.hit();
        assert!(!health.is_off());
        health.failed(String::from("slow"), Duration::from_millis(600));
        assert!(health.is_off());
    }

    #[test]
    fn a_server_that_lies_is_left_alone() {
        let health = Health::new(Duration::from_secs(1));
        (1..MAX_BAD).for_each(|_| health.bad_entry());
        assert!(!health.is_off());
        health.bad_entry();
        assert!(health.is_off());
    }
}
