//! Request of a job for a slot, and the signals to it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::guard::SlotGuard;
use super::stagger::Stagger;
use crate::catalog::PoolMember;
use crate::dispatch::crowd::QueueKey;
use crate::dispatch::refusal::Refusal;
use crate::generation::Priority;

/// Request of a job for a slot.
pub(in crate::dispatch) struct SlotRequest {
    /// Number of the job's request.
    pub(in crate::dispatch) request: u64,
    pub(in crate::dispatch) place: QueueKey,
    /// Owner of the API key. Turns are fair between callers.
    pub(in crate::dispatch) caller: Rc<str>,
    /// Set once a job of the request was admitted, which admits all of them.
    pub(in crate::dispatch) is_admitted: Rc<Cell<bool>>,
    pub(in crate::dispatch) priority: Priority,
    /// Set where the client follows the job's place in the queue.
    pub(in crate::dispatch) is_followed: bool,
    /// Marks a job without images of its own.
    pub(in crate::dispatch) is_idle: bool,
    /// Arrival, since the Unix epoch.
    pub(in crate::dispatch) since: Duration,
    pub(in crate::dispatch) candidates: Vec<Candidate>,
    pub(in crate::dispatch) stagger: Rc<Stagger>,
}

/// Signal to a waiting job.
pub(super) enum Signal {
    /// Number of jobs ahead.
    Waiting(usize),
    /// End of the wait: a slot or a refusal. A slot that is never received becomes free.
    Done(Box<Result<SlotGuard, Refusal>>),
}

/// Candidate Space of a job.
#[derive(Clone, Debug)]
pub(in crate::dispatch) struct Candidate {
    pub(in crate::dispatch) member: PoolMember,
    /// Work of the job at the Space, in units.
    pub(in crate::dispatch) work: f64,
    /// Earlier failures of the job there.
    pub(in crate::dispatch) past: Past,
}

/// Earlier failures of a job at a Space, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::dispatch) enum Past {
    /// None.
    Fresh,
    /// It has failed, and another Space after it.
    Earlier,
    /// It was the last to fail.
    Last,
}
