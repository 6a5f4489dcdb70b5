//! The images that were made for a key: what was asked for, and where they lie.
//!
//! An [`entry`] is a request and its images. It holds no image: an image can be had as long as its Space keeps the
//! file, a day or so at Hugging Face. What waiting and streaming requests have made is written by a [`recorder`] around
//! their updates, in batches, beside the answer. What tasks have made stands in the rows of the tasks themselves, and
//! isn't written twice: the [`list`] merges both.

mod batch;
pub mod entry;
pub mod list;
pub mod recorder;
pub mod view;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use self::batch::Batch;
use crate::platform::{StoreError, random_bytes};
use crate::store::Store;
use crate::store::statement::Argument;
use crate::store::statements::history;

/// Time that a request is kept.
pub const TTL: Duration = Duration::from_secs(30 * 86_400);
/// Requests of a key that are kept.
pub const KEPT: i64 = 500;
/// Requests that are looked at beyond those when the oldest are deleted.
const SURPLUS: i64 = 200;

/// Requests that are written between two deletions of the oldest.
const BETWEEN_TRIMS: usize = 64;

/// The history of all keys, as an instance has it.
pub struct History {
    store: Store,
    /// Whether what is made is remembered. What is remembered already is listed in any case.
    is_on: bool,
    batch: RefCell<Batch>,
    is_writing: Cell<bool>,
    /// Requests until the oldest are deleted again.
    until_trim: Cell<usize>,
}

impl History {
    /// The history in `store`.
    pub fn new(store: &Store, is_on: bool) -> Rc<Self> {
        // An instance may live for fewer requests than that.
        let [lot] = random_bytes::<1>(store.host());
        Rc::new(Self {
            until_trim: Cell::new(usize::from(lot) % BETWEEN_TRIMS),
            store: store.clone(),
            is_on: is_on && store.is_on(),
            batch: RefCell::default(),
            is_writing: Cell::default(),
        })
    }

    /// Whether what is made is remembered.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Deletes the oldest requests of `owners` who have too many.
    async fn trim(&self, owners: impl IntoIterator<Item = &str>) -> Result<(), StoreError> {
        let parameters =
            vec![("owners", Argument::list(owners)), ("span", (KEPT + SURPLUS).into()), ("kept", KEPT.into())];
        self.store.query(&history::TRIM, parameters).await.map(drop)
    }

    /// Takes the oldest tasks of an owner who has too many requests out of the history, beside the present request.
    pub fn spawn_trim_of_tasks(&self, owner: &str) {
        if self.is_on {
            let parameters = vec![("owner", owner.into()), ("span", (KEPT + SURPLUS).into()), ("kept", KEPT.into())];
            self.store.spawn(&history::TRIM_TASKS, parameters);
        }
    }
}
