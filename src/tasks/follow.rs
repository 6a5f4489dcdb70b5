//! Changes of tasks for event streams.
//!
//! All streams of an instance share one poll of the database, which returns the revisions of their tasks; only changed
//! records are read. Streams show what is stored, even where the runner is in the same instance.

use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::feed::Topic;
use super::store::Snapshot;
use super::supervisor::TaskSupervisor;
use crate::platform::StoreError;
use crate::store::id::TimeId;

/// Interval of the polls.
const LOOK: Duration = Duration::from_millis(500);

impl TaskSupervisor {
    /// Follows a task from a snapshot on.
    pub fn follow(self: &Rc<Self>, id: &TimeId, snapshot: Snapshot) -> Rc<Topic> {
        let known = self.feed.topics.borrow().get(id).and_then(Weak::upgrade);
        let topic = known.unwrap_or_else(|| {
            let topic = Topic::new();
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
            // Where the store fails, the next poll tries again.
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
