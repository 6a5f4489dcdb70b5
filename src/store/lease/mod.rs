//! Things that one instance at a time may have: slots of a Space, places of a key, the sweep.
//!
//! A resource has slots, numbered from 0; a lease is a slot that an instance holds for [`TTL`] and renews every
//! [`RENEWAL`], with one statement for all that it holds. A slot whose instance has died is free [`SKEW`] after it has
//! expired, since machines' clocks differ: within 12 s of the last renewal, and a second or two more for whoever looks.
//!
//! Resources are `space/ORIGIN`, `probe/ORIGIN`, `jobs/KEY` and `sweep`.

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

/// Time that a lease lasts unless it is renewed.
pub const TTL: Duration = Duration::from_secs(10);
/// Time between two renewals.
pub const RENEWAL: Duration = Duration::from_secs(3);
/// Difference between two machines' clocks that does no harm.
pub const SKEW: Duration = Duration::from_secs(2);
/// Time within which slots that come back go back in one statement.
const MOMENT: Duration = Duration::from_millis(5);

/// The leases of an instance.
pub struct Leases {
    store: Store,
    held: RefCell<Slots>,
    /// Held since the last renewal was sent, which may have come before them.
    fresh: RefCell<Slots>,
    /// Released, and not known to be free in the store yet: the number of statements for each that are not answered.
    returning: RefCell<BTreeMap<(String, i64), u32>>,
    /// Those of them that none has been sent for.
    unsent: RefCell<Slots>,
    claiming: RefCell<Claiming>,
    /// Resources whose slots are known to be in the table, and how many.
    known: RefCell<HashSet<(String, u32)>>,
    is_renewing: Cell<bool>,
    is_returning: Cell<bool>,
    /// Called with what was lost: another instance has it, or may.
    on_loss: RefCell<Option<Listener>>,
}

/// Slots by resource.
type Slots = BTreeMap<String, BTreeSet<i64>>;

/// Is told of a resource and its slots.
pub type Listener = Rc<dyn Fn(&str, &[i64])>;

impl Leases {
    /// No leases yet, in that store.
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

    /// The store that they are in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Has `listener` called with the resource and the slots that turn out to be lost at a renewal.
    pub fn listen(&self, listener: Listener) {
        *self.on_loss.borrow_mut() = Some(listener);
    }

    /// Number of slots of `resource` that are held.
    pub fn count(&self, resource: &str) -> usize {
        self.held.borrow().get(resource).map_or(0, BTreeSet::len)
    }

    /// Holds slots that a statement of somebody else's has taken for this instance.
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

    /// Gives slots back, beside the present request.
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

    /// Sends what has come back.
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
            // Where the store fails, they are free when their leases have run out.
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

/// Removes slots of a resource, and returns those that were there.
fn remove(all: &RefCell<Slots>, resource: &str, slots: &[i64]) -> Vec<i64> {
    let mut all = all.borrow_mut();
    let Some(there) = all.get_mut(resource) else { return Vec::new() };
    let removed = slots.iter().copied().filter(|slot| there.remove(slot)).collect();
    if there.is_empty() {
        all.remove(resource);
    }
    removed
}

/// When a lease ends that begins at `now`.
pub fn expiry(now: Duration, ttl: Duration) -> i64 {
    milliseconds(now.saturating_add(ttl))
}

/// A lease that ended before this moment is free at `now`, by whichever clock it was given.
pub fn free_before(now: Duration) -> i64 {
    milliseconds(now.saturating_sub(SKEW))
}
