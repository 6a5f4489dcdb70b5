//! Changes of tasks, as event streams follow them.
//!
//! All streams of an instance share one statement for each look, which tells the revisions of their tasks; only the
//! records that have changed are read. What is streamed is what is kept, also where the runner is in the same instance.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures::channel::oneshot;

use super::store::Snapshot;
use super::supervisor::TaskSupervisor;
use crate::platform::StoreError;
use crate::store::id::TimeId;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// The tasks that streams of an instance follow.
#[derive(Default)]
pub(super) struct Feed {
    topics: RefCell<BTreeMap<TimeId, Weak<Topic>>>,
    is_looking: Cell<bool>,
}

/// A task that streams follow.
pub struct Topic {
    /// The task as it was seen last; none once it is gone.
    latest: RefCell<Option<Rc<Snapshot>>>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Topic {
    /// The task as soon as it is newer than `seen`, or has ended; none once it is gone.
    pub async fn newer(&self, seen: Option<i64>) -> Option<Rc<Snapshot>> {
        loop {
            let latest = self.latest.borrow().clone()?;
            if seen.is_none_or(|seen| seen < latest.revision) || latest.record.status.is_end() {
                return Some(latest);
            }
            let (tell, told) = oneshot::channel();
            self.waiting.borrow_mut().push(tell);
            // Where it is cancelled, something has changed as well.
            let _ = told.await;
        }
    }

    fn update(&self, latest: Option<Snapshot>) {
        *self.latest.borrow_mut() = latest.map(Rc::new);
        for waiting in self.waiting.take() {
            // It may have left.
            let _ = waiting.send(());
        }
    }
}

impl TaskSupervisor {
    /// Follows a task that was just read.
    pub fn follow(self: &Rc<Self>, id: &TimeId, snapshot: Snapshot) -> Rc<Topic> {
        let known = self.feed.topics.borrow().get(id).and_then(Weak::upgrade);
        let topic = known.unwrap_or_else(|| {
            let topic = Rc::new(Topic { latest: RefCell::default(), waiting: RefCell::default() });
            self.feed.topics.borrow_mut().insert(id.clone(), Rc::downgrade(&topic));
            topic
        });
        let is_newer = topic.latest.borrow().as_ref().is_none_or(|latest| latest.revision < snapshot.revision);
        if is_newer {
            topic.update(Some(snapshot));
        }
        if !self.feed.is_looking.replace(true) {
            let this = Rc::clone(self);
            self.host.spawn(Box::pin(async move { this.keep_looking().await }));
        }
        topic
    }

    async fn keep_looking(self: Rc<Self>) {
        loop {
            self.host.sleep(LOOK).await;
            let topics: Vec<(TimeId, Rc<Topic>)> = {
                let mut topics = self.feed.topics.borrow_mut();
                topics.retain(|_, topic| topic.strong_count() > 0);
                topics.iter().filter_map(|(id, topic)| Some((id.clone(), topic.upgrade()?))).collect()
            };
            if topics.is_empty() {
                self.feed.is_looking.set(false);
                return;
            }
            // A store that fails now may do its work in a moment.
            let _ = self.update(&topics).await;
            self.look_if_due();
        }
    }

    async fn update(&self, topics: &[(TimeId, Rc<Topic>)]) -> Result<(), StoreError> {
        let ids: Vec<TimeId> = topics.iter().map(|(id, _)| id.clone()).collect();
        let revisions: BTreeMap<TimeId, i64> = self.store.revisions(&ids).await?.into_iter().collect();
        let has_changed = |topic: &Topic, revision: i64| {
            topic.latest.borrow().as_ref().is_none_or(|latest| latest.revision < revision)
        };
        let mut changed = Vec::new();
        for (id, topic) in topics {
            match revisions.get(id) {
                None => topic.update(None),
                Some(revision) if has_changed(topic, *revision) => changed.push(id.clone()),
                Some(_) => {}
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        for (id, snapshot) in self.store.read_all(&changed).await? {
            if let Some((_, topic)) = topics.iter().find(|(known, _)| *known == id) {
                topic.update(Some(snapshot));
            }
        }
        Ok(())
    }
}
