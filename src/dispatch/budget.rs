//! The retry budget, which keeps a bad day from doubling the load.
//!
//! Each new job pays a fifth into it, each job that is made again elsewhere after a Space has worked on it takes one
//! out. Ten are there at the beginning, and come back one every ten seconds, so that an instance with few requests can
//! move its jobs at all. Where nothing is left, a failure is told to the client. So of many jobs at most a fifth more
//! are made than were asked for. A move for which no Space has done any work (nobody answers, the queue is full, the
//! breaker is open) is free: it costs no more than a call.
//!
//! Source: Finagle's `RetryBudget`.

use std::time::Duration;

/// Payment of a new job.
const DEPOSIT: f64 = 0.2;
/// Balance at the beginning, which comes back by itself.
const RESERVE: f64 = 10.0;
/// Part that comes back in a second.
const TRICKLE: f64 = 0.1;
/// The most that is kept.
const MOST: f64 = 100.0;

/// Balance that can be spent on making jobs again.
#[derive(Debug)]
pub(super) struct Budget {
    balance: f64,
    at: Duration,
}

impl Budget {
    /// A full reserve, at `now` in monotonic time.
    pub(super) fn new(now: Duration) -> Self {
        Self { balance: RESERVE, at: now }
    }

    /// A new job pays in.
    pub(super) fn deposit(&mut self, now: Duration) {
        self.trickle(now);
        self.balance = (self.balance + DEPOSIT).min(MOST);
    }

    /// Takes one out, if there is one.
    pub(super) fn withdraw(&mut self, now: Duration) -> bool {
        self.trickle(now);
        let has_one = self.balance >= 1.0;
        if has_one {
            self.balance -= 1.0;
        }
        has_one
    }

    fn trickle(&mut self, now: Duration) {
        let came_back = now.saturating_sub(self.at).as_secs_f64() * TRICKLE;
        self.at = now;
        if self.balance < RESERVE {
            self.balance = (self.balance + came_back).min(RESERVE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_many_jobs_is_made_again_at_most() {
        let mut budget = Budget::new(Duration::ZERO);
        let mut again = 0;
        for _ in 0..1000 {
            budget.deposit(Duration::ZERO);
            again += u32::from(budget.withdraw(Duration::ZERO));
        }
        assert!((200..=211).contains(&again), "{again}");
    }

    #[test]
    fn the_reserve_comes_back_and_no_more() {
        let mut budget = Budget::new(Duration::ZERO);
        let spend =
            |budget: &mut Budget, now| std::iter::repeat_with(|| budget.withdraw(now)).take_while(|had| *had).count();
        assert_eq!(spend(&mut budget, Duration::ZERO), 10);
        assert_eq!(spend(&mut budget, Duration::from_secs(35)), 3);
        assert_eq!(spend(&mut budget, Duration::from_secs(3600)), 10);
    }
}
