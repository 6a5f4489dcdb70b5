//! What one instance at a time may have: slots of a Space, places of a key, the sweep.
//!
//! A resource has slots, numbered from 0; a lease is a slot that an instance holds for [`TTL`] and renews every [`RENEWAL`],
//! with one statement for all that it holds. A slot whose instance has died is free [`SKEW`] after it has expired, since
//! machines' clocks differ: within 12 s of the last renewal, and a second or two more for whoever looks.
//!
//! Resources are `space/ORIGIN`, `probe/ORIGIN`, `jobs/KEY` and `sweep`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;
use std::time::Duration;

use super::row::Columns;
use super::statement::Argument;
use super::statements::lease;
use super::{Store, milliseconds};
use crate::platform::{StoreError, Value};

/// Time that a lease lasts unless it is renewed.
pub const TTL: Duration = Duration::from_secs(10);
/// Time between two renewals.
pub const RENEWAL: Duration = Duration::from_secs(3);
/// Difference between two machines' clocks that does no harm.
pub const SKEW: Duration = Duration::from_secs(2);

/// Is told the resource and the slots that are lost.
pub type Listener = Rc<dyn Fn(&str, &[i64])>;

/// The leases of an instance.
pub struct Leases {
    store: Store,
    /// By resource.
    held: RefCell<BTreeMap<String, BTreeSet<i64>>>,
    /// Resources whose slots are known to be in the table, and how many.
    known: RefCell<HashSet<(String, u32)>>,
    is_renewing: Cell<bool>,
    /// Called with what was lost: another instance has it, or may.
    on_loss: RefCell<Option<Listener>>,
}

impl Leases {
    /// No leases yet, in that store.
    pub fn new(store: &Store) -> Rc<Self> {
        Rc::new(Self {
            store: store.clone(),
            held: RefCell::default(),
            known: RefCell::default(),
            is_renewing: Cell::default(),
            on_loss: RefCell::default(),
        })
    }

    /// The store that they are in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Has `listener` called with the resource and the slots that turn out to be lost at a renewal.
    pub fn listen(&self, listener: Listener) {
        *self.on_loss.borrow_mut() = Some(listener);
    }

    /// Takes up to `most` free slots of `resource`, which has `limit`. They are held and renewed until they are released.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn claim(self: &Rc<Self>, resource: &str, most: u32, limit: u32) -> Result<Vec<i64>, StoreError> {
        let mut slots = self.try_claim(resource, most, limit).await?;
        if slots.is_empty() && self.known.borrow_mut().insert((resource.to_owned(), limit)) {
            self.add(resource, limit).await?;
            slots = self.try_claim(resource, most, limit).await?;
        }
        Ok(slots)
    }

    async fn try_claim(self: &Rc<Self>, resource: &str, most: u32, limit: u32) -> Result<Vec<i64>, StoreError> {
        let now = self.store.host().unix_time();
        let parameters = vec![
            ("holder", self.store.instance().into()),
            ("expires", expiry(now, TTL).into()),
            ("resource", resource.into()),
            ("limit", Value::from(limit).into()),
            ("before", free_before(now).into()),
            ("most", Value::from(most).into()),
        ];
        let rows = self.store.query(&lease::CLAIM, parameters).await?;
        let slots = rows.into_iter().map(|row| Columns::of(row).integer()).collect::<Result<Vec<_>, _>>()?;
        self.hold(resource, &slots);
        Ok(slots)
    }

    /// Puts the slots of a resource into the table.
    async fn add(&self, resource: &str, limit: u32) -> Result<(), StoreError> {
        let (first, end) = (0_i64, Value::from(limit));
        let parameters = vec![("first", first.into()), ("end", end.into()), ("resource", resource.into())];
        self.store.query(&lease::ADD, parameters).await.map(drop)
    }

    /// Holds slots that a statement of somebody else's has taken for this instance.
    pub fn hold(self: &Rc<Self>, resource: &str, slots: &[i64]) {
        if slots.is_empty() {
            return;
        }
        self.held.borrow_mut().entry(resource.to_owned()).or_default().extend(slots);
        if !self.is_renewing.replace(true) {
            let this = Rc::clone(self);
            self.store.host().spawn(Box::pin(async move { this.renew().await }));
        }
    }

    /// Gives slots back, beside the present request.
    pub fn release(&self, resource: &str, slots: &[i64]) {
        let mine: Vec<Value> = {
            let mut held = self.held.borrow_mut();
            let Some(known) = held.get_mut(resource) else { return };
            let mine = slots.iter().filter(|slot| known.remove(slot)).map(|slot| Value::Integer(*slot)).collect();
            if known.is_empty() {
                held.remove(resource);
            }
            mine
        };
        if !mine.is_empty() {
            let holder = self.store.instance().to_owned();
            let parameters =
                vec![("resource", resource.into()), ("slots", Argument::List(mine)), ("holder", holder.into())];
            self.store.spawn(&lease::RELEASE, parameters);
        }
    }

    /// Number of slots of `resource` that are held.
    pub fn count(&self, resource: &str) -> usize {
        self.held.borrow().get(resource).map_or(0, BTreeSet::len)
    }

    /// Renews all leases until none is held.
    async fn renew(self: Rc<Self>) {
        loop {
            self.store.host().sleep(RENEWAL).await;
            if self.held.borrow().is_empty() {
                self.is_renewing.set(false);
                return;
            }
            let before = self.held.borrow().clone();
            let expires = expiry(self.store.host().unix_time(), TTL);
            let parameters = vec![("expires", expires.into()), ("holder", self.store.instance().into())];
            // A store that fails now is asked again: until then all go on as if their leases held.
            if let Ok(rows) = self.store.query(&lease::RENEW, parameters).await {
                self.settle(&before, rows);
            }
        }
    }

    /// Compares what was held when a renewal began with what the store has renewed.
    fn settle(&self, before: &BTreeMap<String, BTreeSet<i64>>, rows: Vec<crate::platform::Row>) {
        let mut renewed: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        for mut columns in rows.into_iter().map(Columns::of) {
            if let (Ok(resource), Ok(slot)) = (columns.text(), columns.integer()) {
                renewed.entry(resource).or_default().insert(slot);
            }
        }
        for (resource, slots) in before {
            let there = renewed.get(resource);
            let lost: Vec<i64> = {
                let mut held = self.held.borrow_mut();
                let Some(known) = held.get_mut(resource) else { continue };
                let is_gone = |slot: &&i64| !there.is_some_and(|there| there.contains(*slot));
                let lost: Vec<i64> = slots.iter().filter(is_gone).copied().filter(|slot| known.remove(slot)).collect();
                if known.is_empty() {
                    held.remove(resource);
                }
                lost
            };
            let listener = self.on_loss.borrow().clone();
            if let Some(listener) = listener.filter(|_| !lost.is_empty()) {
                listener(resource, &lost);
            }
        }
        // Slots of a claim whose answer came too late: nobody here knows of them.
        for (resource, slots) in renewed {
            let is_known = |slot: &i64| {
                let held = self.held.borrow();
                let held = held.get(&resource).is_some_and(|known| known.contains(slot));
                held || before.get(&resource).is_some_and(|known| known.contains(slot))
            };
            let unknown: Vec<Value> = slots.into_iter().filter(|slot| !is_known(slot)).map(Value::Integer).collect();
            if !unknown.is_empty() {
                let holder = self.store.instance().to_owned();
                let parameters =
                    vec![("resource", resource.into()), ("slots", Argument::List(unknown)), ("holder", holder.into())];
                self.store.spawn(&lease::RELEASE, parameters);
            }
        }
    }
}

/// When a lease ends that begins at `now`.
pub fn expiry(now: Duration, ttl: Duration) -> i64 {
    milliseconds(now.saturating_add(ttl))
}

/// A lease that ended before this moment is free at `now`, by whichever clock it was given.
pub fn free_before(now: Duration) -> i64 {
    milliseconds(now.saturating_sub(SKEW))
}
