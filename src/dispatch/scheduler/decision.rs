//! Decision about a waiting job, and what jobs ahead of it reserve.

use std::collections::HashMap;
use std::time::Duration;

use crate::dispatch::refusal::Refusal;
use crate::gradio::space::Origin;

/// Decision about a waiting job.
pub(super) enum Decision {
    /// The job starts at the candidate of that index.
    Start { index: usize, probe: bool },
    /// The job goes on waiting.
    Wait {
        /// Space that it waits for, and its generation time there, in seconds.
        at: Option<(Origin, f64)>,
        /// Slot to claim from the database.
        claim: Option<Claim>,
        /// Time at which the decision may change without any event.
        again: Option<Duration>,
        /// Marks a job that lacks nothing but a slot.
        wants_slot: bool,
        /// Set where no Space has room for the job.
        is_full: bool,
    },
    /// The job has nothing to wait for.
    Hopeless(Refusal),
}

/// Claim of a slot from the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) origin: Origin,
    /// Number of slots of the Space.
    pub(super) limit: usize,
    /// Marks a job that probes the Space.
    pub(super) probe: bool,
}

/// Capacity that jobs ahead in the queue reserve, by Space.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    /// Time of their generations, in seconds.
    pub(super) seconds: HashMap<Origin, f64>,
    /// Number of slots to be claimed for them.
    pub(super) claims: HashMap<Origin, usize>,
}
