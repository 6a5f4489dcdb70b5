//! Tasks that event streams follow.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use futures::channel::oneshot;

use super::store::Snapshot;
use crate::store::id::TimeId;

/// The tasks that streams of an instance follow.
#[derive(Default)]
pub(super) struct Feed {
    pub(super) topics: RefCell<BTreeMap<TimeId, Weak<Topic>>>,
    pub(super) is_looking: Cell<bool>,
}

/// A task that streams follow.
pub struct Topic {
    /// The task as it was seen last; none once it is gone.
    pub(super) latest: RefCell<Option<Rc<Snapshot>>>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Topic {
    /// A task that nothing is known of yet.
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { latest: RefCell::default(), waiting: RefCell::default() })
    }

    /// The task as soon as it is newer than `seen`, or has ended; none once it is gone.
    pub async fn newer(&self, seen: Option<i64>) -> Option<Rc<Snapshot>> {
        loop {
            let latest = self.latest.borrow().clone()?;
            if seen.is_none_or(|seen| seen < latest.revision) || latest.record.status.is_end() {
                return Some(latest);
            }
            let (sender, receiver) = oneshot::channel();
            self.waiting.borrow_mut().push(sender);
            // Where it is cancelled, something has changed as well.
            let _ = receiver.await;
        }
    }

    pub(super) fn update(&self, latest: Option<Snapshot>) {
        *self.latest.borrow_mut() = latest.map(Rc::new);
        for waiting in self.waiting.take() {
            // It may have left.
            let _ = waiting.send(());
        }
    }
}
