//! A slot at a Space with its job.

use std::rc::Rc;
use std::time::Duration;

use super::stagger::Stagger;
use crate::catalog::PoolMember;
use crate::gradio::space::Token;

/// A slot at a Space with its job.
#[derive(Debug)]
pub(super) struct Slot {
    /// Number of the job, unique within the instance.
    pub(super) id: u64,
    /// Number of its request.
    pub(super) request: u64,
    pub(super) member: PoolMember,
    pub(super) stagger: Rc<Stagger>,
    pub(super) token: Option<Token>,
    /// Marks a job that probes the Space.
    pub(super) probe: bool,
    /// Expected generation time, in seconds.
    pub(super) generation: f64,
    /// Time of the grant, since the Unix epoch.
    pub(super) since: Duration,
}
