//! Plan of a request: images without a job yet, and a session for each Space of the pool.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use futures::channel::oneshot;

use super::knowledge::Knowledge;
use super::session::SpaceSession;
use crate::catalog::PoolMember;
use crate::generation::Generation;
use crate::generation::Purpose;
use crate::gradio::client::Client;
use crate::trace_context::TraceContext;

/// Plan of a request, shared by its workers.
pub(super) struct RequestPlan {
    pub(super) generation: Rc<Generation>,
    pub(super) images: ImagePlan,
    sessions: Vec<Rc<SpaceSession>>,
}

/// Images of a request that have no job, and the number of those that haven't ended.
#[derive(Debug, Default)]
pub(super) struct ImagePlan {
    /// Indexes of images without a job, in order.
    pending: RefCell<Vec<Range<u32>>>,
    /// Number of images that have neither been made nor failed.
    open: Cell<u32>,
    /// Workers without anything to do.
    idle: RefCell<Vec<oneshot::Sender<()>>>,
}

impl RequestPlan {
    pub(super) fn new(
        pool: &[PoolMember],
        purpose: Purpose,
        generation: Generation,
        client: &Client,
        knowledge: &Rc<Knowledge>,
        trace: Option<&TraceContext>,
    ) -> Self {
        let session = |member: &PoolMember| {
            let client = client.with_trace(trace, &member.space);
            Rc::new(SpaceSession::new(member, purpose, &client, knowledge))
        };
        let sessions = pool.iter().map(session).collect();
        let images = ImagePlan::new(generation.count);
        Self { generation: Rc::new(generation), images, sessions }
    }

    /// Sessions at all Spaces of the pool.
    pub(super) fn sessions(&self) -> &[Rc<SpaceSession>] {
        &self.sessions
    }
}

impl ImagePlan {
    /// A plan of `count` images.
    pub(super) fn new(count: u32) -> Self {
        let plan = Self { open: Cell::new(count), ..Self::default() };
        plan.put_back(0..count);
        plan
    }

    /// Number of images without a job.
    pub(super) fn pending(&self) -> u32 {
        self.pending.borrow().iter().map(|range| range.end - range.start).sum()
    }

    /// Takes up to `most` adjacent images without a job; an empty range where there are none.
    pub(super) fn take(&self, most: u32) -> Range<u32> {
        let mut pending = self.pending.borrow_mut();
        let Some(first) = pending.first_mut() else { return 0..0 };
        let start = first.start;
        first.start = start.saturating_add(most).min(first.end);
        let taken = start..first.start;
        pending.retain(|range| !range.is_empty());
        taken
    }

    /// Gives images back that were taken: others may take them.
    pub(super) fn put_back(&self, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        let mut pending = self.pending.borrow_mut();
        let at = pending.partition_point(|other| other.start < range.start);
        pending.insert(at, range);
        let mut joined: Vec<Range<u32>> = Vec::with_capacity(pending.len());
        for range in pending.drain(..) {
            match joined.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        *pending = joined;
        drop(pending);
        self.idle.take();
    }

    /// Notes that an image was made or has failed.
    pub(super) fn end_one(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        if self.open.get() == 0 {
            self.idle.take();
        }
    }

    /// True once all images have ended.
    pub(super) fn has_ended(&self) -> bool {
        self.open.get() == 0
    }

    /// Waits until there are images without a job, or all have ended.
    pub(super) async fn change(&self) {
        while self.pending() == 0 && !self.has_ended() {
            let (here, changed) = oneshot::channel();
            self.idle.borrow_mut().push(here);
            let _ = changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// `steps` take some images, or give one of the takings back, from an image on.
        #[test]
        fn every_image_is_taken_once_whatever_the_order(
            count in 1_u32..20,
            steps in prop::collection::vec((any::<bool>(), 0_u32..6, any::<prop::sample::Index>()), 0..100)
        ) {
            let plan = ImagePlan::new(count);
            let mut taken: Vec<Range<u32>> = Vec::new();
            for (takes, most, which) in steps {
                if takes || taken.is_empty() {
                    let pending = plan.pending();
                    let range = plan.take(most);
                    prop_assert_eq!(range.is_empty(), pending == 0 || most == 0);
                    prop_assert!(range.len() <= usize::try_from(most).unwrap());
                    taken.push(range);
                } else {
                    let range = taken.swap_remove(which.index(taken.len()));
                    let kept = range.start..range.start.saturating_add(most).min(range.end);
                    plan.put_back(kept.end..range.end);
                    taken.push(kept);
                }
                let held: u32 = taken.iter().map(|range| range.end - range.start).sum();
                prop_assert_eq!(held + plan.pending(), count);
            }
            while plan.pending() > 0 {
                taken.push(plan.take(u32::MAX));
            }
            let mut all: Vec<u32> = taken.into_iter().flatten().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn who_has_nothing_to_do_waits_for_what_is_given_back_and_for_the_end() {
        let plan = ImagePlan::new(2);
        assert!(plan.change().now_or_never().is_some(), "there is something to do");
        let mine = plan.take(2);
        let mut waits = Box::pin(plan.change());
        assert!((&mut waits).now_or_never().is_none());
        plan.end_one();
        assert!((&mut waits).now_or_never().is_none());
        plan.put_back(mine.start + 1..mine.end);
        assert!((&mut waits).now_or_never().is_some());
        assert_eq!(plan.take(5), 1..2);
        let mut waits = Box::pin(plan.change());
        assert!((&mut waits).now_or_never().is_none());
        plan.end_one();
        assert!((&mut waits).now_or_never().is_some() && plan.has_ended());
    }
}
