//! Turns at what an instance does only once at a time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures::channel::oneshot;

/// Something that one at a time may do. Clones share it.
#[derive(Clone, Default)]
pub struct Turns(Rc<TurnsInner>);

#[derive(Default)]
struct TurnsInner {
    is_taken: Cell<bool>,
    /// Those who wait, in the order in which they came.
    waiting: RefCell<VecDeque<oneshot::Sender<Turn>>>,
}

/// A turn, which ends when it is dropped.
pub struct Turn(Turns);

impl Turns {
    /// Waits for the turn.
    pub async fn take(&self) -> Turn {
        if !self.0.is_taken.replace(true) {
            return Turn(self.clone());
        }
        let (sender, receiver) = oneshot::channel();
        self.0.waiting.borrow_mut().push_back(sender);
        // The sender is only dropped with its turn handed on, so the wait ends with one.
        receiver.await.unwrap_or_else(|oneshot::Canceled| Turn(self.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A turn that is handed to one who has left ends there at once, and goes on to the next.
        let next = self.0.0.waiting.borrow_mut().pop_front();
        match next {
            Some(next) => drop(next.send(Self(self.0.clone()))),
            None => self.0.0.is_taken.set(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::platform::sim::World;
    use crate::platform::timeout;

    #[test]
    fn one_has_the_turn_and_who_leaves_loses_none() {
        let world = World::new(1);
        let (turns, at_once, done) = (Turns::default(), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        for number in 0..20_u64 {
            let (turns, at_once, done, host) = (turns.clone(), Rc::clone(&at_once), Rc::clone(&done), world.host());
            world.host().spawn(Box::pin(async move {
                // Every third doesn't wait for long.
                let patience = Duration::from_millis(if number % 3 == 0 { 25 } else { 10_000 });
                let Ok(turn) = timeout(&host, patience, turns.take()).await else { return };
                at_once.set(at_once.get() + 1);
                assert_eq!(at_once.get(), 1);
                host.sleep(Duration::from_millis(10)).await;
                at_once.set(0);
                done.set(done.get() + 1);
                drop(turn);
            }));
        }
        world.pass(Duration::from_secs(5));
        assert!(done.get() >= 13, "{}", done.get());
        assert!(!turns.0.is_taken.get());
    }
}
