//! Leases of exclusive resources: slots of a Space, permits of a key, the sweep.
//!
//! A resource has slots, numbered from 0. A lease is a slot that an instance holds for [`TTL`] and renews every
//! [`RENEWAL`], with one statement for all of its leases. The slot of a dead instance is free [`SKEW`] after its
//! expiry, as clocks differ: 12 s after the last renewal, or a second or two more until others notice.
//!
//! Resources are `space/ORIGIN`, `probe/ORIGIN`, `jobs/KEY`, `tasks` and `sweep`.

mod claim;
mod claiming;
mod renewal;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;

use self::claiming::Claiming;
use super::statement::Argument;
use super::statements::lease;
use super::{Store, milliseconds};

/// Lifetime of a lease without renewal.
pub const TTL: Duration = Duration::from_secs(10);
/// Interval of renewals.
pub const RENEWAL: Duration = Duration::from_secs(3);
/// Tolerated difference between clocks.
pub const SKEW: Duration = Duration::from_secs(2);
/// Delay that collects released slots for one statement.
const MOMENT: Duration = Duration::from_millis(5);

/// Leases of an instance.
pub struct Leases {
    store: Store,
    held: RefCell<Slots>,
    /// Slots claimed since the last renewal was sent, which may not include them.
    fresh: RefCell<Slots>,
    /// Released slots that may still be taken in the database: number of pending statements for each.
    returning: RefCell<BTreeMap<(String, i64), u32>>,
    /// Released slots without a statement yet.
    unsent: RefCell<Slots>,
    claiming: RefCell<Claiming>,
    /// Resources whose slots exist in the table, with their limits.
    known: RefCell<HashSet<(String, u32)>>,
    is_renewing: Cell<bool>,
    is_returning: Cell<bool>,
    /// Called with lost slots, which another instance may hold.
    on_loss: RefCell<Option<Listener>>,
}

/// Slots by resource.
type Slots = BTreeMap<String, BTreeSet<i64>>;

/// Callback with a resource and its lost slots.
pub type Listener = Rc<dyn Fn(&str, &[i64])>;

impl Leases {
    /// No leases yet, in `store`.
    pub fn new(store: &Store) -> Rc<Self> {
        Rc::new(Self {
            store: store.clone(),
            held: RefCell::default(),
            fresh: RefCell::default(),
            returning: RefCell::default(),
            unsent: RefCell::default(),
            claiming: RefCell::default(),
            known: RefCell::default(),
            is_renewing: Cell::default(),
            is_returning: Cell::default(),
            on_loss: RefCell::default(),
        })
    }

    /// Store of the leases.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Sets the listener for slots that turn out to be lost at a renewal.
    pub fn listen(&self, listener: Listener) {
        *self.on_loss.borrow_mut() = Some(listener);
    }

    /// Number of held slots of `resource`.
    pub fn count(&self, resource: &str) -> usize {
        self.held.borrow().get(resource).map_or(0, BTreeSet::len)
    }

    /// Holds slots that were claimed for this instance, and renews them in the background.
    pub fn hold(self: &Rc<Self>, resource: &str, slots: &[i64]) {
        if slots.is_empty() {
            return;
        }
        for taken in [&self.held, &self.fresh] {
            taken.borrow_mut().entry(resource.to_owned()).or_default().extend(slots);
        }
        if !self.is_renewing.replace(true) {
            let this = Rc::clone(self);
            self.store.host().spawn(Box::pin(async move { this.renew().await }));
        }
    }

    /// Releases slots in the background.
    pub fn release(self: &Rc<Self>, resource: &str, slots: &[i64]) {
        let mine = remove(&self.held, resource, slots);
        self.give_back(resource, mine);
    }

    fn give_back(self: &Rc<Self>, resource: &str, slots: Vec<i64>) {
        if slots.is_empty() {
            return;
        }
        self.unsent.borrow_mut().entry(resource.to_owned()).or_default().extend(&slots);
        if !self.is_returning.replace(true) {
            let this = Rc::clone(self);
            self.store.host().spawn(Box::pin(async move { this.send_back().await }));
        }
    }

    /// Sends the release of all returned slots.
    async fn send_back(self: Rc<Self>) {
        self.store.host().sleep(MOMENT).await;
        self.is_returning.set(false);
        let batch = self.unsent.take();
        join_all(batch.iter().map(|(resource, slots)| async {
            let parameters = vec![
                ("resource", resource.as_str().into()),
                ("slots", Argument::list(slots.iter().copied())),
                ("holder", self.store.instance().into()),
            ];
            let keys = || slots.iter().map(|slot| (resource.clone(), *slot));
            for key in keys() {
                *self.returning.borrow_mut().entry(key).or_default() += 1;
            }
            // Where the store fails, the slots become free by expiry.
            let _ = self.store.query(&lease::RELEASE, parameters).await;
            let mut returning = self.returning.borrow_mut();
            for key in keys() {
                if let Some(count) = returning.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        returning.remove(&key);
                    }
                }
            }
        }))
        .await;
    }
}

fn has(all: &RefCell<Slots>, resource: &str, slot: i64) -> bool {
    all.borrow().get(resource).is_some_and(|slots| slots.contains(&slot))
}

/// Removes slots of a resource. Returns those that were there.
fn remove(all: &RefCell<Slots>, resource: &str, slots: &[i64]) -> Vec<i64> {
    let mut all = all.borrow_mut();
    let Some(there) = all.get_mut(resource) else { return Vec::new() };
    let removed = slots.iter().copied().filter(|slot| there.remove(slot)).collect();
    if there.is_empty() {
        all.remove(resource);
    }
    removed
}

/// Expiry of a lease that begins at `now`.
pub fn expiry(now: Duration, ttl: Duration) -> i64 {
    milliseconds(now.saturating_add(ttl))
}

/// Time before which leases must have expired to be free at `now`, by any clock.
pub fn free_before(now: Duration) -> i64 {
    milliseconds(now.saturating_sub(SKEW))
}
