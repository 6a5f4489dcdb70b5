//! Request of a job for a slot, and the signals that answer it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::guard::SlotGuard;
use super::stagger::Stagger;
use crate::catalog::PoolMember;
use crate::dispatch::crowd::QueueKey;
use crate::dispatch::refusal::Refusal;
use crate::generation::Priority;

/// A job that wants a slot.
pub(in crate::dispatch) struct SlotRequest {
    /// Number of the request that it is of.
    pub(in crate::dispatch) request: u64,
    pub(in crate::dispatch) place: QueueKey,
    /// API key's owner, among whom turns are shared.
    pub(in crate::dispatch) caller: Rc<str>,
    /// Whether a job of the request has been let in: then all of them are.
    pub(in crate::dispatch) is_admitted: Rc<Cell<bool>>,
    pub(in crate::dispatch) priority: Priority,
    /// Whether it has no images of its own yet.
    pub(in crate::dispatch) is_idle: bool,
    /// When it came, since the Unix epoch.
    pub(in crate::dispatch) since: Duration,
    pub(in crate::dispatch) candidates: Vec<Candidate>,
    pub(in crate::dispatch) stagger: Rc<Stagger>,
}

/// News for a waiting job.
pub(super) enum Signal {
    /// So many are before it.
    Waiting(usize),
    /// It has a slot, or waits in vain. A slot that is lost on the way is the next one's.
    Done(Box<Result<SlotGuard, Refusal>>),
}

/// A Space that a job may be given to.
#[derive(Clone, Debug)]
pub(in crate::dispatch) struct Candidate {
    pub(in crate::dispatch) member: PoolMember,
    /// Amount of work that the job is there.
    pub(in crate::dispatch) work: f64,
    /// Its past with the job.
    pub(in crate::dispatch) past: Past,
}

/// A Space's past with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dispatch) enum Past {
    /// Nothing yet.
    Fresh,
    /// It has failed it, and another one has since.
    Earlier,
    /// It was the last that failed it.
    Last,
}
