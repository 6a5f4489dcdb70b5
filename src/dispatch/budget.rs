//! Retry budget, which keeps failures from doubling the load.
//!
//! Each new job deposits 0.2; each retry of a job that a Space has worked on withdraws 1. The balance starts at 10, and
//! below that gains 1 every 10 s, so that an instance with few requests can retry at all. With less than 1 left, a
//! failure goes to the client. So retries add at most a fifth to the load. A move for which no Space has done any work
//! (no answer, full queue, open breaker) is free: it costs no more than a call.
//!
//! Source: Finagle's `RetryBudget`.

use std::time::Duration;

/// Deposit of a new job.
const DEPOSIT: f64 = 0.2;
/// Initial balance, up to which the budget refills by itself.
const RESERVE: f64 = 10.0;
/// Refill per second.
const TRICKLE: f64 = 0.1;
/// Maximum balance.
const MOST: f64 = 100.0;

/// Balance for retries.
#[derive(Debug)]
pub(super) struct Budget {
    balance: f64,
    at: Duration,
}

impl Budget {
    /// A full reserve at `now`, in monotonic time.
    pub(super) fn new(now: Duration) -> Self {
        Self { balance: RESERVE, at: now }
    }

    /// Adds the deposit of a new job.
    pub(super) fn deposit(&mut self, now: Duration) {
        self.trickle(now);
        self.balance = (self.balance + DEPOSIT).min(MOST);
    }

    /// Withdraws a retry. Returns false where the balance is too low.
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
