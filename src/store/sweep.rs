//! Sweep: deletion of expired rows, by one instance at a time.
//!
//! An instance with requests tries once a minute to claim the lease `sweep`. The holder runs the statements of all
//! rooms. Each finds expired rows by an index and deletes some hundred at a time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::Store;
use super::lease::{expiry, free_before};
use super::statement::Statement;
use super::statements::{SWEEPS, lease};
use crate::platform::{StoreError, Value, random_bytes};

/// Interval of sweeps, over all instances.
const PAUSE: Duration = Duration::from_secs(60);
/// Maximum number of rows per statement.
const AT_ONCE: i64 = 500;
/// Maximum number of statements per table in one sweep.
const ROUNDS: u32 = 20;

/// Sweeper of an instance.
pub struct Sweeper {
    store: Store,
    /// Time of the next attempt, monotonic.
    due: Cell<Duration>,
}

impl Sweeper {
    /// A sweeper of `store`.
    pub fn new(store: &Store) -> Rc<Self> {
        // Random, as many instances live for less than a minute.
        let [lot] = random_bytes::<1>(store.host());
        let due = store.host().now() + PAUSE * u32::from(lot) / 255;
        Rc::new(Self { store: store.clone(), due: Cell::new(due) })
    }

    /// Sweeps in the background, if due.
    pub fn sweep_if_due(self: &Rc<Self>) {
        let now = self.store.host().now();
        if now < self.due.get() || !self.store.is_up() {
            return;
        }
        self.due.set(now + PAUSE);
        let this = Rc::clone(self);
        self.store.host().spawn(Box::pin(async move {
            // Where the store fails, a later sweep deletes the rows.
            let _ = this.sweep_in_turn().await;
        }));
    }

    /// Sweeps unless an instance has done so within the last minute. Returns the number of deleted rows.
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
            // Never released: its expiry makes the next sweep due.
            ("expires", expiry(now, PAUSE).into()),
            ("resource", "sweep".into()),
            ("limit", one.into()),
            ("before", free_before(now).into()),
            ("most", one.into()),
        ];
        if self.store.query(&lease::CLAIM, claim).await?.is_empty() { Ok(0) } else { self.sweep().await }
    }

    /// Deletes expired rows. Returns their number.
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
