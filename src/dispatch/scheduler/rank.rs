//! Rank of a waiting job.

use std::rc::Rc;

/// Rank in the order of service. The least comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) priority: i64,
    pub(super) turn: i64,
    /// Milliseconds since the Unix epoch.
    pub(super) since: i64,
    /// Tie breaker.
    pub(super) id: Rc<str>,
}

/// Rank and number of a job.
pub(super) type WaitingPlace = (Rank, u64);
