//! Something that is done once in an instance, however many requests want it at the same time.

use std::cell::RefCell;

use futures::channel::oneshot;
use futures::future::LocalBoxFuture;

use crate::platform::Host;

/// Work that is done once. It runs in a task of its own, so that it goes on where the request that began it ends.
#[derive(Debug)]
pub struct Once<T>(std::rc::Rc<RefCell<State<T>>>);

#[derive(Debug)]
enum State<T> {
    NotBegun,
    Running(Vec<oneshot::Sender<T>>),
    Done(T),
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(std::rc::Rc::new(RefCell::new(State::NotBegun)))
    }
}

impl<T: Clone + 'static> Once<T> {
    /// What came of it; `work` is begun where nobody has.
    pub async fn get(&self, host: &Host, work: impl FnOnce() -> LocalBoxFuture<'static, T>) -> T {
        let (tell, told) = oneshot::channel();
        let begins = match &mut *self.0.borrow_mut() {
            State::Done(done) => return done.clone(),
            State::Running(waiting) => {
                waiting.push(tell);
                None
            }
            state @ State::NotBegun => {
                *state = State::Running(vec![tell]);
                Some(work())
            }
        };
        if let Some(work) = begins {
            let state = std::rc::Rc::clone(&self.0);
            host.spawn(Box::pin(async move {
                let done = work.await;
                let before = state.replace(State::Done(done.clone()));
                if let State::Running(waiting) = before {
                    for tell in waiting {
                        let _ = tell.send(done.clone());
                    }
                }
            }));
        }
        match told.await {
            Ok(done) => done,
            // The task is gone, and the instance with it.
            Err(oneshot::Canceled) => std::future::pending().await,
        }
    }

    /// Forgets what came of it: the next one who wants it begins anew.
    pub fn reset(&self) {
        let mut state = self.0.borrow_mut();
        if matches!(*state, State::Done(_)) {
            *state = State::NotBegun;
        }
    }
}
