//! A slot at a Space, and the job that has it.

use std::rc::Rc;
use std::time::Duration;

use super::stagger::Stagger;
use crate::catalog::PoolMember;
use crate::gradio::space::Token;

/// A slot at a Space, and the job that has it.
#[derive(Debug)]
pub(super) struct Slot {
    /// Number of the job, within the instance.
    pub(super) id: u64,
    pub(super) member: PoolMember,
    pub(super) stagger: Rc<Stagger>,
    pub(super) token: Option<Token>,
    /// Whether the job is to try the Space.
    pub(super) probe: bool,
    /// Amount of work that the job is.
    pub(super) work: f64,
    /// Time that it is expected to take, in seconds.
    pub(super) generation: f64,
    /// When it got the slot, since the Unix epoch.
    pub(super) since: Duration,
}
