//! Who works at a task.
//!
//! A lease is a token in the record and a time until which nobody else may work at it. The holder writes it anew every [`RENEWAL`]; one
//! that has died doesn't, and [`TERM`] later the task is free. The time is the wall clock's, so machines whose clocks are further apart than
//! [`TERM`] less [`RENEWAL`] take tasks from each other: then work is done twice, but still nothing is told twice, as only one of them can write.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::platform::{Outside, random_hex};

/// How long a lease holds.
pub const TERM: Duration = Duration::from_secs(15);
/// How old it gets before it is renewed.
pub const RENEWAL: Duration = Duration::from_secs(5);

/// Who works at a task, and until when it is theirs alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    token: String,
    /// In milliseconds since the Unix epoch.
    until: u64,
}

/// What tells one holder from all others. Each time a task is taken, there is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one.
    pub fn new(outside: &Outside) -> Self {
        Self(random_hex::<8>(outside))
    }

    /// A lease of that token, from now on.
    pub fn lease(&self, outside: &Outside) -> Lease {
        Lease { token: self.0.clone(), until: millis(outside.unix_time().saturating_add(TERM)) }
    }
}

impl Lease {
    /// Whether it is that token's, expired or not: as long as nobody else has taken it, it may be renewed.
    pub fn is_of(&self, token: &Token) -> bool {
        self.token == token.0
    }

    /// Whether somebody else may take the task.
    pub fn has_expired(&self, now: Duration) -> bool {
        self.until <= millis(now)
    }

    /// Whether it is time to write it anew.
    pub fn is_due(&self, now: Duration) -> bool {
        self.until.saturating_sub(millis(TERM - RENEWAL)) <= millis(now)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Platform as _;
    use crate::platform::sim::World;

    #[test]
    fn a_lease_is_renewed_before_it_runs_out() {
        let world = World::new(1);
        let (mine, other) = (Token::new(&world.outside()), Token::new(&world.outside()));
        let lease = mine.lease(&world.outside());
        assert!(lease.is_of(&mine) && !lease.is_of(&other));
        let state = |world: &World| (lease.is_due(world.unix_time()), lease.has_expired(world.unix_time()));
        assert_eq!(state(&world), (false, false));
        world.pass(RENEWAL);
        assert_eq!(state(&world), (true, false));
        world.pass(TERM - RENEWAL);
        assert_eq!(state(&world), (true, true));
    }
}
