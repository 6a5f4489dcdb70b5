//! Watch over tasks: runs those that are due, and requeues those of dead instances.
//!
//! One instance at a time watches, the holder of the lease `tasks`, with one statement every second or two while a task
//! is unfinished. The others check, with requests and while tasks run, that some instance is watching; a look is one
//! statement and reads no record.

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::store::Findings;
use super::supervisor::TaskSupervisor;
use crate::platform::{StoreError, random_bytes};

/// Interval of looks of an instance that doesn't watch.
const LOOK: Duration = Duration::from_secs(5);
/// Minimum interval of looks of the watching instance; the jitter adds up to as much.
const ROUND: Duration = Duration::from_secs(1);
/// Consecutive failed looks that end the watch.
const FAILURES: u32 = 30;
/// Lease resource of the watch.
const RESOURCE: &str = "tasks";

/// Report of a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Number of unfinished tasks, up to a thousand.
    pub unfinished: u32,
    /// Number of tasks that this instance has claimed.
    pub taken_over: u32,
}

impl TaskSupervisor {
    /// Looks in the background, if a look is due.
    pub fn look_if_due(self: &Rc<Self>) {
        let now = self.host.now();
        let looked = self.watch.looked.get();
        let is_early = looked.is_some_and(|last| now.saturating_sub(last) < LOOK);
        if is_early || self.watch.is_watching.get() || !self.store.store.is_on() {
            return;
        }
        self.watch.looked.set(Some(now));
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move {
            // The read of an instance's start is its first look.
            let is_idle = looked.is_none() && this.store.store.meta().await.is_ok_and(|meta| !meta.has_tasks);
            if !is_idle {
                // Where the store fails, the next look tries again.
                let _ = this.look().await;
            }
        }));
    }

    /// Looks in a few seconds, in case a task waits and no instance watches.
    pub(super) fn look_soon(self: &Rc<Self>) {
        if self.watch.is_watching.get() || self.watch.is_look_due.replace(true) {
            return;
        }
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move {
            this.host.sleep(LOOK).await;
            this.watch.is_look_due.set(false);
            this.look_if_due();
        }));
    }

    /// Looks for unfinished tasks. Where no instance watches them, this one attends to them and watches from then on.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn look(self: &Rc<Self>) -> Result<Found, StoreError> {
        self.watch.looked.set(Some(self.host.now()));
        let findings = self.store.look().await?;
        let mut found = Found { unfinished: findings.unfinished, taken_over: 0 };
        let is_mine = self.watch.is_watching.get();
        if findings.unfinished == 0 || is_mine || findings.is_watched {
            return Ok(found);
        }
        self.watch.is_watching.set(true);
        match self.leases.claim(RESOURCE, 1, 1).await {
            Ok(slots) if !slots.is_empty() => {}
            other => {
                self.watch.is_watching.set(false);
                return other.map(|_| found);
            }
        }
        let attended = self.attend(findings).await;
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move { this.keep_watching().await }));
        found.taken_over = attended?;
        Ok(found)
    }

    async fn keep_watching(self: Rc<Self>) {
        let mut failures = 0;
        while failures < FAILURES {
            let [lot] = random_bytes::<1>(&self.host);
            self.host.sleep(ROUND + ROUND * u32::from(lot) / 255).await;
            if self.leases.count(RESOURCE) == 0 {
                break;
            }
            let attended = match self.store.look().await {
                Ok(findings) if findings.unfinished == 0 => break,
                Ok(findings) => self.attend(findings).await.map(drop),
                Err(error) => Err(error),
            };
            failures = if attended.is_ok() { 0 } else { failures + 1 };
        }
        self.leases.release(RESOURCE, &[0]);
        self.watch.is_watching.set(false);
    }

    /// Requeues and claims tasks by `findings`. Returns the number of claimed tasks.
    async fn attend(self: &Rc<Self>, mut findings: Findings) -> Result<u32, StoreError> {
        if findings.has_expired {
            self.store.requeue().await?;
            findings = self.store.look().await?;
        }
        let mut taken = 0;
        for model in &findings.models {
            while self.claim_next(model).await? {
                taken += 1;
            }
        }
        while findings.has_deliveries && self.claim_delivery().await? {
            taken += 1;
        }
        Ok(taken)
    }
}
