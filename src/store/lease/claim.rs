//! Claims of slots.

use std::rc::Rc;

use futures::channel::oneshot;

use super::{Leases, TTL, expiry, free_before, has};
use crate::platform::{StoreError, Value};
use crate::store::row::Columns;
use crate::store::statement::Statement;
use crate::store::statements::lease;

/// Claimed slots, released on drop unless the caller receives and keeps them.
struct ClaimedSlots {
    leases: Rc<Leases>,
    resource: String,
    slots: Vec<i64>,
}

impl Leases {
    /// Claims up to `most` free slots of `resource`, which has `limit`. They are renewed until they are released.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn claim(self: &Rc<Self>, resource: &str, most: u32, limit: u32) -> Result<Vec<i64>, StoreError> {
        let mut claimed = self.send(lease::CLAIM, resource, most, limit).await?;
        let missing = most.saturating_sub(u32::try_from(claimed.slots.len()).unwrap_or(most));
        if missing > 0 && self.is_new(resource, limit) {
            match self.add_and_send(lease::CLAIM, resource, missing, limit).await {
                Ok(more) => claimed.slots.extend(more.keep()),
                Err(error) if claimed.slots.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(claimed.keep())
    }

    /// Claims `count` free slots of `resource`, which has `limit`; none where fewer are free.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn claim_all(
        self: &Rc<Self>,
        resource: &str,
        count: u32,
        limit: u32,
    ) -> Result<Option<Vec<i64>>, StoreError> {
        let mut claimed = self.send(lease::CLAIM_ALL, resource, count, limit).await?;
        if claimed.slots.is_empty() && self.is_new(resource, limit) {
            claimed = self.add_and_send(lease::CLAIM_ALL, resource, count, limit).await?;
        }
        // A partial claim is released on drop.
        let is_all = u32::try_from(claimed.slots.len()).is_ok_and(|slots| slots == count);
        Ok(is_all.then(|| claimed.keep()))
    }

    /// True if the slots of `resource` may not exist in the table yet.
    fn is_new(&self, resource: &str, limit: u32) -> bool {
        !self.known.borrow().contains(&(resource.to_owned(), limit))
    }

    /// Adds the slots of a resource to the table, and claims some.
    async fn add_and_send(
        self: &Rc<Self>,
        statement: Statement,
        resource: &str,
        count: u32,
        limit: u32,
    ) -> Result<ClaimedSlots, StoreError> {
        let (first, end) = (0_i64, Value::from(limit));
        let parameters = vec![("first", first.into()), ("end", end.into()), ("resource", resource.into())];
        self.store.query(&lease::ADD, parameters).await?;
        self.known.borrow_mut().insert((resource.to_owned(), limit));
        self.send(statement, resource, count, limit).await
    }

    /// Sends a claim in a task of its own. If the caller is dropped, the claim completes and its slots are released.
    async fn send(
        self: &Rc<Self>,
        statement: Statement,
        resource: &str,
        count: u32,
        limit: u32,
    ) -> Result<ClaimedSlots, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let (this, resource) = (Rc::clone(self), resource.to_owned());
        self.store.host().spawn(Box::pin(async move {
            this.claiming.borrow_mut().begin(&resource);
            let outcome = this.take(statement, &resource, count, limit).await;
            this.claiming.borrow_mut().end(&resource);
            let _ = sender.send(outcome.map(|slots| ClaimedSlots { leases: this, resource, slots }));
        }));
        receiver.await.unwrap_or(Err(StoreError::Down))
    }

    async fn take(
        self: &Rc<Self>,
        statement: Statement,
        resource: &str,
        count: u32,
        limit: u32,
    ) -> Result<Vec<i64>, StoreError> {
        let now = self.store.host().unix_time();
        let parameters = vec![
            ("holder", self.store.instance().into()),
            ("expires", expiry(now, TTL).into()),
            ("resource", resource.into()),
            ("limit", Value::from(limit).into()),
            ("before", free_before(now).into()),
            ("most", Value::from(count).into()),
        ];
        let rows = self.store.query(&statement, parameters).await?;
        let mut slots = rows.into_iter().map(|row| Columns::of(row).integer()).collect::<Result<Vec<_>, _>>()?;
        // A slot that expired while the store failed stays with its holder on this instance.
        slots.retain(|slot| !has(&self.held, resource, *slot) && !has(&self.unsent, resource, *slot));
        self.hold(resource, &slots);
        Ok(slots)
    }
}

impl ClaimedSlots {
    /// Slots that the caller keeps.
    fn keep(mut self) -> Vec<i64> {
        std::mem::take(&mut self.slots)
    }
}

impl Drop for ClaimedSlots {
    fn drop(&mut self) {
        self.leases.release(&self.resource, &self.slots);
    }
}
