//! Deletes what has expired, by one instance at a time.
//!
//! An instance that answers requests looks once in a minute whether the sweep is due. Whoever gets the lease `sweep`
//! runs the statements of all rooms; each finds its rows by an index on their time of expiry, and deletes some hundred
//! at a time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::Store;
use super::lease::{expiry, free_before};
use super::statement::Statement;
use super::statements::{SWEEPS, lease};
use crate::platform::{StoreError, Value, random_bytes};

/// Time between two sweeps, over all instances.
const PAUSE: Duration = Duration::from_secs(60);
/// Rows that a statement deletes at most.
const AT_ONCE: i64 = 500;
/// Statements of a table in one sweep at most.
const ROUNDS: u32 = 20;

/// Deletes what has expired, now and then.
pub struct Sweeper {
    store: Store,
    /// When this instance looks next, in monotonic time.
    due: Cell<Duration>,
}

impl Sweeper {
    /// A sweeper of that store.
    pub fn new(store: &Store) -> Rc<Self> {
        // Many instances live for less than a minute: some of them look at once.
        let [lot] = random_bytes::<1>(store.host());
        let due = store.host().now() + PAUSE * u32::from(lot) / 255;
        Rc::new(Self { store: store.clone(), due: Cell::new(due) })
    }

    /// Sweeps beside the present request, where it is time to.
    pub fn sweep_if_due(self: &Rc<Self>) {
        let now = self.store.host().now();
        if now < self.due.get() || !self.store.is_up() {
            return;
        }
        self.due.set(now + PAUSE);
        let this = Rc::clone(self);
        self.store.host().spawn(Box::pin(async move {
            // A store that fails now is swept later.
            let _ = this.sweep_in_turn().await;
        }));
    }

    /// Sweeps unless another instance has within the last minute. Returns the number of deleted rows.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn sweep_in_turn(&self) -> Result<u64, StoreError> {
        let now = self.store.host().unix_time();
        let one: i64 = 1;
        self.store
            .query(&lease::ADD, vec![("first", 0_i64.into()), ("end", one.into()), ("resource", "sweep".into())])
            .await?;
        let claim = vec![
            ("holder", "sweeper".into()),
            // Never given back: the next sweep is due when it has expired.
            ("expires", expiry(now, PAUSE).into()),
            ("resource", "sweep".into()),
            ("limit", one.into()),
            ("before", free_before(now).into()),
            ("most", one.into()),
        ];
        if self.store.query(&lease::CLAIM, claim).await?.is_empty() { Ok(0) } else { self.sweep().await }
    }

    /// Deletes what has expired. Returns the number of deleted rows.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let mut total = 0;
        for statement in SWEEPS {
            total += self.sweep_one(statement).await?;
        }
        Ok(total)
    }

    async fn sweep_one(&self, statement: &Statement) -> Result<u64, StoreError> {
        let mut total = 0;
        for _ in 0..ROUNDS {
            let parameters = vec![("now", self.store.now().into()), ("most", Value::Integer(AT_ONCE).into())];
            let deleted = u64::try_from(self.store.query(statement, parameters).await?.len()).unwrap_or(u64::MAX);
            total += deleted;
            if deleted < AT_ONCE.unsigned_abs() {
                break;
            }
        }
        Ok(total)
    }
}
