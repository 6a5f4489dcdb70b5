//! Watch for the end of requests in flight on other instances.
//!
//! An instance polls the database for all of them with one statement, several times a second at random intervals, while
//! any request waits.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;

use super::key::IdempotencyKey;
use super::record::{KeyState, states};
use crate::platform::{StoreError, random_bytes};
use crate::store::Store;

/// Minimum interval of polls.
const SHORTEST: Duration = Duration::from_millis(100);
/// Maximum interval of polls.
const LONGEST: Duration = Duration::from_millis(500);

/// Waiting requests, by key.
pub(super) struct Watch {
    store: Store,
    waiting: RefCell<HashMap<IdempotencyKey, Vec<EndSender>>>,
    is_looking: Cell<bool>,
}

/// Sender of a key's state after its flight; `None` for an abandoned one.
type EndSender = oneshot::Sender<Result<Option<KeyState>, StoreError>>;

impl Watch {
    /// A watch without waiting requests.
    pub(super) fn new(store: &Store) -> Rc<Self> {
        Rc::new(Self { store: store.clone(), waiting: RefCell::default(), is_looking: Cell::default() })
    }

    /// Waits until `key` is no longer [`KeyState::Running`], and returns its state; none where its mark is gone.
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

    /// Polls until no request waits.
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
                    // The receiver may be gone.
                    let _ = waiter.send(state.clone());
                }
            }
        }
    }
}
