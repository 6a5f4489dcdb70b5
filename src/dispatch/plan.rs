//! Plan of a request: images without a job yet, and a session for each Space of the pool.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use super::knowledge::Knowledge;
use super::session::SpaceSession;
use crate::catalog::PoolMember;
use crate::generation::Generation;
use crate::generation::Purpose;
use crate::gradio::client::Client;

/// Plan of a request, shared by its workers.
pub(super) struct RequestPlan {
    pub(super) generation: Rc<Generation>,
    /// Indexes of images without a job.
    pending: RefCell<Range<u32>>,
    sessions: Vec<Rc<SpaceSession>>,
}

impl RequestPlan {
    pub(super) fn new(
        pool: &[PoolMember],
        purpose: Purpose,
        generation: Generation,
        client: &Client,
        knowledge: &Rc<Knowledge>,
    ) -> Self {
        let sessions =
            pool.iter().map(|member| Rc::new(SpaceSession::new(member, purpose, client, knowledge))).collect();
        let pending = RefCell::new(0..generation.count);
        Self { generation: Rc::new(generation), pending, sessions }
    }

    /// Sessions at all Spaces of the pool.
    pub(super) fn sessions(&self) -> &[Rc<SpaceSession>] {
        &self.sessions
    }

    /// Number of images without a job.
    pub(super) fn pending(&self) -> u32 {
        let pending = self.pending.borrow();
        pending.end - pending.start
    }

    /// Takes up to `most` images without a job; an empty range where there are none.
    pub(super) fn take(&self, most: u32) -> Range<u32> {
        let mut pending = self.pending.borrow_mut();
        let start = pending.start;
        pending.start = start.saturating_add(most).min(pending.end);
        start..pending.start
    }
}
