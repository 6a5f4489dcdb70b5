//! History: requests of each key, and the locations of their images.
//!
//! An [`entry`] is a request and its images. It holds no image data: an image is available while its Space keeps the
//! file, about a day at Hugging Face. Images of waiting and streaming requests are recorded by a [`recorder`] around
//! their updates and written in batches, in the background. Images of tasks are in the rows of the tasks, and aren't
//! written twice: the [`list`] merges both.

mod batch;
pub mod entry;
pub mod handlers;
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

/// Lifetime of an entry.
pub const TTL: Duration = Duration::from_secs(30 * 86_400);
/// Maximum number of entries of a key.
pub const KEPT: i64 = 500;
/// Number of entries beyond those that one trim considers.
const SURPLUS: i64 = 200;

/// Number of entries written between two trims.
const BETWEEN_TRIMS: usize = 128;

/// History of all keys, as an instance writes and reads it.
pub struct History {
    store: Store,
    /// Enables recording. Existing entries are listed in any case.
    is_on: bool,
    batch: RefCell<Batch>,
    is_writing: Cell<bool>,
    /// Number of entries until the next trim.
    until_trim: Cell<usize>,
}

impl History {
    /// A history in `store`, which records if `is_on`.
    pub fn new(store: &Store, is_on: bool) -> Rc<Self> {
        // Random, as an instance may end before that number of entries.
        let [lot] = random_bytes::<1>(store.host());
        Rc::new(Self {
            until_trim: Cell::new(usize::from(lot) % BETWEEN_TRIMS),
            store: store.clone(),
            is_on: is_on && store.is_on(),
            batch: RefCell::default(),
            is_writing: Cell::default(),
        })
    }

    /// True if images are recorded.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Deletes the oldest entries of `owners` with too many.
    async fn trim(&self, owners: impl IntoIterator<Item = &str>) -> Result<(), StoreError> {
        let parameters =
            vec![("owners", Argument::list(owners)), ("span", (KEPT + SURPLUS).into()), ("kept", KEPT.into())];
        self.store.query(&history::TRIM, parameters).await.map(drop)
    }

    /// Hides the oldest tasks of an owner with too many entries, in the background.
    pub fn spawn_trim_of_tasks(&self, owner: &str) {
        if self.is_on {
            let parameters = vec![("owner", owner.into()), ("span", (KEPT + SURPLUS).into()), ("kept", KEPT.into())];
            self.store.spawn(&history::TRIM_TASKS, parameters);
        }
    }
}
