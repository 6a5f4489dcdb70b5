//! Tasks that event streams of an instance follow.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use futures::channel::oneshot;

use super::store::Snapshot;
use crate::store::id::TimeId;

/// Tasks that event streams of an instance follow.
#[derive(Default)]
pub(super) struct Feed {
    pub(super) topics: RefCell<BTreeMap<TimeId, Weak<Topic>>>,
    pub(super) is_looking: Cell<bool>,
}

/// A followed task.
pub struct Topic {
    /// Last snapshot; none once the task is gone.
    pub(super) latest: RefCell<Option<Rc<Snapshot>>>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Topic {
    /// A task without a snapshot.
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { latest: RefCell::default(), waiting: RefCell::default() })
    }

    /// Waits for a snapshot that is newer than `seen`, or final; none once the task is gone.
    pub async fn newer(&self, seen: Option<i64>) -> Option<Rc<Snapshot>> {
        loop {
            let latest = self.latest.borrow().clone()?;
            if seen.is_none_or(|seen| seen < latest.revision) || latest.record.status.is_end() {
                return Some(latest);
            }
            let (sender, receiver) = oneshot::channel();
            self.waiting.borrow_mut().push(sender);
            // A cancelled receiver means a change, too.
            let _ = receiver.await;
        }
    }

    pub(super) fn update(&self, latest: Option<Snapshot>) {
        *self.latest.borrow_mut() = latest.map(Rc::new);
        for waiting in self.waiting.take() {
            // The receiver may be gone.
            let _ = waiting.send(());
        }
    }
}
