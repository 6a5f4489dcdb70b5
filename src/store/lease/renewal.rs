//! Renewal of an instance's leases, which also reveals lost and unknown ones.

use std::rc::Rc;

use super::{Leases, RENEWAL, Slots, TTL, expiry, has, remove};
use crate::platform::Row;
use crate::store::row::Columns;
use crate::store::statements::lease;

impl Leases {
    /// Renews all leases until none is left.
    pub(super) async fn renew(self: Rc<Self>) {
        loop {
            self.store.host().sleep(RENEWAL).await;
            self.fresh.take();
            if self.held.borrow().is_empty() {
                self.is_renewing.set(false);
                return;
            }
            self.claiming.borrow_mut().forget();
            let before = self.held.borrow().clone();
            let expires = expiry(self.store.host().unix_time(), TTL);
            let parameters = vec![("expires", expires.into()), ("holder", self.store.instance().into())];
            // Where the store fails, holders go on until the next renewal.
            if let Ok(rows) = self.store.query(&lease::RENEW, parameters).await {
                self.settle(&before, rows);
            }
        }
    }

    /// Compares the leases before a renewal with the renewed rows: drops lost ones, and releases unknown ones.
    fn settle(self: &Rc<Self>, before: &Slots, rows: Vec<Row>) {
        let mut renewed = Slots::new();
        for mut columns in rows.into_iter().map(Columns::of) {
            if let (Ok(resource), Ok(slot)) = (columns.text(), columns.integer()) {
                renewed.entry(resource).or_default().insert(slot);
            }
        }
        for (resource, slots) in before {
            let there = renewed.get(resource);
            let is_gone =
                |slot: &i64| !there.is_some_and(|there| there.contains(slot)) && !has(&self.fresh, resource, *slot);
            let gone: Vec<i64> = slots.iter().copied().filter(is_gone).collect();
            let lost = remove(&self.held, resource, &gone);
            let listener = self.on_loss.borrow().clone();
            if let Some(listener) = listener.filter(|_| !lost.is_empty()) {
                listener(resource, &lost);
            }
        }
        // Unknown slots are of claims whose responses came too late.
        for (resource, slots) in renewed {
            if self.claiming.borrow().was_lately(&resource) {
                continue;
            }
            let is_known = |slot: &i64| {
                let was_held = before.get(&resource).is_some_and(|known| known.contains(slot));
                let is_returning = self.returning.borrow().contains_key(&(resource.clone(), *slot));
                was_held || is_returning || has(&self.held, &resource, *slot) || has(&self.unsent, &resource, *slot)
            };
            let unknown = slots.into_iter().filter(|slot| !is_known(slot)).collect();
            self.give_back(&resource, unknown);
        }
    }
}
