//! Decision about a waiting job, and the part of the Spaces that jobs before it take.

use std::collections::HashMap;
use std::time::Duration;

use crate::dispatch::refusal::Refusal;
use crate::gradio::space::Origin;

/// Decision about a waiting job.
pub(super) enum Decision {
    /// It begins at the candidate of that index.
    Start { index: usize, probe: bool },
    /// It goes on waiting.
    Wait {
        /// The Space that it waits for, and how much longer that one's jobs take by it.
        at: Option<(Origin, f64)>,
        /// A slot to ask the database for.
        claim: Option<Claim>,
        /// When time alone changes something.
        again: Option<Duration>,
        /// Whether a slot is all that it lacks.
        wants_slot: bool,
    },
    /// There is nothing to wait for.
    Hopeless(Refusal),
}

/// A slot to ask the database for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) origin: Origin,
    /// Number of slots that the Space has.
    pub(super) limit: usize,
    /// Whether the job is to try the Space.
    pub(super) probe: bool,
}

/// The part that jobs which were looked at before take of the Spaces.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    /// Time that their jobs take, in seconds.
    pub(super) seconds: HashMap<Origin, f64>,
    /// Slots that are to be claimed for them.
    pub(super) claims: HashMap<Origin, usize>,
}
