//! Waiting for answers that other instances are making.
//!
//! An instance asks the store for all of them with one statement, some times in a second at random moments, as long as
//! anybody waits.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;

use super::key::IdempotencyKey;
use super::record::{KeyState, states};
use crate::platform::{StoreError, random_bytes};
use crate::store::Store;

/// Shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(100);
/// Longest time between two looks.
const LONGEST: Duration = Duration::from_millis(500);

/// Those who wait, by key.
pub(super) struct Watch {
    store: Store,
    waiting: RefCell<HashMap<IdempotencyKey, Vec<EndSender>>>,
    is_looking: Cell<bool>,
}

/// Is told what has become of a request; `None` where nobody is at it any more.
type EndSender = oneshot::Sender<Result<Option<KeyState>, StoreError>>;

impl Watch {
    /// Nobody waits yet.
    pub(super) fn new(store: &Store) -> Rc<Self> {
        Rc::new(Self { store: store.clone(), waiting: RefCell::default(), is_looking: Cell::default() })
    }

    /// What has become of the request of `key`, once it is no longer [`KeyState::Running`].
    ///
    /// # Errors
    /// Failures of the store.
    pub(super) async fn end(self: &Rc<Self>, key: &IdempotencyKey) -> Result<Option<KeyState>, StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().entry(key.clone()).or_default().push(sender);
        if !self.is_looking.replace(true) {
            let this = Rc::clone(self);
            self.store.host().spawn(Box::pin(async move { this.look().await }));
        }
        receiver.await.unwrap_or(Err(StoreError::Down))
    }

    /// Looks until nobody waits any more.
    async fn look(self: Rc<Self>) {
        loop {
            let [lot] = random_bytes::<1>(self.store.host());
            self.store.host().sleep(SHORTEST + (LONGEST - SHORTEST) * u32::from(lot) / 255).await;
            let keys: Vec<IdempotencyKey> = {
                let mut waiting = self.waiting.borrow_mut();
                waiting.retain(|_, waiters| waiters.iter().any(|waiter| !waiter.is_canceled()));
                waiting.keys().cloned().collect()
            };
            if keys.is_empty() {
                self.is_looking.set(false);
                return;
            }
            let known = states(&self.store, &keys).await;
            for key in keys {
                let state = known
                    .as_ref()
                    .map_err(Clone::clone)
                    .map(|known| known.iter().find(|(id, _)| id == key.as_str()).map(|(_, state)| *state));
                if state == Ok(Some(KeyState::Running)) {
                    continue;
                }
                let waiters = self.waiting.borrow_mut().remove(&key);
                for waiter in waiters.into_iter().flatten() {
                    // Who doesn't wait any more has left.
                    let _ = waiter.send(state.clone());
                }
            }
        }
    }
}
