//! Work that an instance does once for all concurrent requests.

use std::cell::RefCell;

use futures::channel::oneshot;
use futures::future::LocalBoxFuture;

use crate::platform::Host;

/// Cell whose value is computed once, in a task of its own that outlives the request that started it.
#[derive(Debug)]
pub struct Once<T>(std::rc::Rc<RefCell<OnceState<T>>>);

#[derive(Debug)]
enum OnceState<T> {
    NotBegun,
    Running(Vec<oneshot::Sender<T>>),
    Done(T),
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(std::rc::Rc::new(RefCell::new(OnceState::NotBegun)))
    }
}

impl<T: Clone + 'static> Once<T> {
    /// Value of the cell. Starts `work` on the first call, and waits for its end.
    pub async fn get(&self, host: &Host, work: impl FnOnce() -> LocalBoxFuture<'static, T>) -> T {
        let (sender, receiver) = oneshot::channel();
        let begins = match &mut *self.0.borrow_mut() {
            OnceState::Done(done) => return done.clone(),
            OnceState::Running(waiting) => {
                waiting.push(sender);
                None
            }
            state @ OnceState::NotBegun => {
                *state = OnceState::Running(vec![sender]);
                Some(work())
            }
        };
        if let Some(work) = begins {
            let state = std::rc::Rc::clone(&self.0);
            host.spawn(Box::pin(async move {
                let done = work.await;
                let before = state.replace(OnceState::Done(done.clone()));
                if let OnceState::Running(waiting) = before {
                    for sender in waiting {
                        let _ = sender.send(done.clone());
                    }
                }
            }));
        }
        match receiver.await {
            Ok(done) => done,
            // The task is gone: the instance is ending.
            Err(oneshot::Canceled) => std::future::pending().await,
        }
    }

    /// Clears the value, so that the next call computes it again.
    pub fn reset(&self) {
        let mut state = self.0.borrow_mut();
        if matches!(*state, OnceState::Done(_)) {
            *state = OnceState::NotBegun;
        }
    }
}
