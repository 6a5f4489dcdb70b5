//! Budget of the instance's memory: what large things draw on before they take up room.
//!
//! An instance has 256 MiB for up to 16 requests, and one that runs out of them traps, all its requests with it. So
//! bodies, events, images and answers reserve their bytes here first, and wait their turn or are refused where there
//! are none. What is small by its own bounds (heads, fields, progress) isn't counted: the budget leaves room for it.
//!
//! A reservation may travel with the bytes that it stands for: [`Reservation::hold`] makes [`Bytes`] that give it back
//! when the last of their slices is dropped.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use futures::channel::oneshot;
use send_wrapper::SendWrapper;
use thiserror::Error;

/// Bytes that large things may take in an instance: what 256 MiB leave beside the instance's own 10 MiB, the waste of
/// the allocator, and a body or an answer of the usual size for each of 16 requests.
const CAPACITY: usize = 160 << 20;
/// Bytes that need no reservation, as 16 requests of them do no harm.
pub const UNCOUNTED: usize = 256 << 10;

/// Budget of the instance's memory. Clones are the same.
#[derive(Clone)]
pub struct MemoryBudget(Rc<Inner>);

struct Inner {
    capacity: usize,
    /// May exceed the capacity by what was taken without asking.
    used: Cell<usize>,
    /// Those who wait, the longest first, each with the bytes that it waits for.
    waiting: RefCell<VecDeque<(usize, oneshot::Sender<()>)>>,
}

/// Refusal for want of memory.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the instance has no memory left for {bytes} bytes")]
pub struct OutOfMemory {
    /// Bytes that were asked for.
    pub bytes: usize,
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(CAPACITY)
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBudget({} of {} bytes)", self.used(), self.0.capacity)
    }
}

impl MemoryBudget {
    /// A budget of that many bytes.
    pub fn new(capacity: usize) -> Self {
        Self(Rc::new(Inner { capacity, used: Cell::default(), waiting: RefCell::default() }))
    }

    /// Bytes that are reserved.
    pub fn used(&self) -> usize {
        self.0.used.get()
    }

    /// A reservation of nothing yet.
    pub fn none(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }

    /// Reserves `bytes`, if there are as many and nobody waits.
    pub fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let mut reservation = self.none();
        reservation.try_grow_to(bytes).then_some(reservation)
    }

    /// Reserves `bytes` without asking: for what is there already and goes soon.
    pub fn take(&self, bytes: usize) -> Reservation {
        self.0.used.set(self.used().saturating_add(bytes));
        Reservation { budget: self.clone(), bytes }
    }

    fn has(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes) <= self.0.capacity
    }

    fn give_back(&self, bytes: usize) {
        self.0.used.set(self.used().saturating_sub(bytes));
        self.wake();
    }

    /// Lets those go on who wait for what there is now, in their order.
    fn wake(&self) {
        loop {
            let mut waiting = self.0.waiting.borrow_mut();
            let Some((bytes, _)) = waiting.front() else { return };
            let bytes = *bytes;
            if !self.has(bytes) {
                return;
            }
            let Some((_, waker)) = waiting.pop_front() else { return };
            drop(waiting);
            // Taken for the one who waits; who has left meanwhile gives no answer, and it is the next one's turn.
            self.0.used.set(self.used().saturating_add(bytes));
            if waker.send(()).is_err() {
                self.0.used.set(self.used().saturating_sub(bytes));
            }
        }
    }
}

/// Bytes of the budget, given back when the value is dropped.
pub struct Reservation {
    budget: MemoryBudget,
    bytes: usize,
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation({} bytes)", self.bytes)
    }
}

impl Reservation {
    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows to `bytes`, if there are as many and nobody waits. True if it did, or held as many before.
    pub fn try_grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let is_free = self.budget.0.waiting.borrow().is_empty() && self.budget.has(more);
        if is_free {
            self.budget.0.used.set(self.budget.used().saturating_add(more));
            self.bytes = bytes;
        }
        is_free
    }

    /// Grows to `bytes`, in turn with all others who wait, for as long as that takes.
    ///
    /// # Errors
    /// [`OutOfMemory`] where there can never be as many.
    pub async fn wait_to_grow_to(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        if self.try_grow_to(bytes) {
            return Ok(());
        }
        let (more, refused) = (bytes.saturating_sub(self.bytes), OutOfMemory { bytes });
        if bytes > self.budget.0.capacity {
            return Err(refused);
        }
        let (send, granted) = oneshot::channel();
        self.budget.0.waiting.borrow_mut().push_back((more, send));
        let mut wait = MemoryWait { budget: &self.budget, more, granted };
        (&mut wait.granted).await.map_err(|oneshot::Canceled| refused)?;
        // It is this one's now, not the wait's.
        wait.more = 0;
        drop(wait);
        self.bytes = bytes;
        Ok(())
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(less) = self.bytes.checked_sub(bytes).filter(|less| *less > 0) {
            self.bytes = bytes;
            self.budget.give_back(less);
        }
    }

    /// Takes `bytes` of it, or as many as it has, as a reservation of their own.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: self.budget.clone(), bytes }
    }

    /// The bytes of `buffer`, which hold the reservation for as long as a slice of them is left.
    pub fn hold(self, buffer: impl Into<Bytes>) -> Bytes {
        let buffer = buffer.into();
        if self.bytes == 0 {
            return buffer;
        }
        Bytes::from_owner(Held { buffer, _reservation: SendWrapper::new(self) })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(self.bytes);
        }
    }
}

/// A buffer with its reservation.
struct Held {
    buffer: Bytes,
    /// There is one thread; bytes ask to be ready for more.
    _reservation: SendWrapper<Reservation>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

/// A wait for memory. Who leaves it gives back what it was granted in the same moment.
struct MemoryWait<'a> {
    budget: &'a MemoryBudget,
    more: usize,
    granted: oneshot::Receiver<()>,
}

impl Drop for MemoryWait<'_> {
    fn drop(&mut self) {
        if self.more == 0 {
            return;
        }
        if let Ok(Some(())) = self.granted.try_recv() {
            self.budget.give_back(self.more);
        } else {
            // It may stand before others, who need less.
            self.granted.close();
            self.budget.0.waiting.borrow_mut().retain(|(_, waker)| !waker.is_canceled());
            self.budget.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn bytes_hold_their_reservation_to_their_last_slice() {
        let budget = MemoryBudget::new(1 << 20);
        let bytes = budget.try_reserve(1000).unwrap().hold(vec![7; 1000]);
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(budget.used(), 1000);
        drop(slice);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_wait_that_is_left_holds_nothing() {
        let budget = MemoryBudget::new(100);
        let first = budget.try_reserve(100).unwrap();
        let (mut one, mut two) = (budget.none(), budget.none());
        let mut left = Box::pin(one.wait_to_grow_to(80));
        let mut stays = Box::pin(two.wait_to_grow_to(80));
        assert!(left.as_mut().now_or_never().is_none() && stays.as_mut().now_or_never().is_none());
        drop(first);
        // Granted to the first one, which doesn't look any more.
        drop(left);
        assert_eq!(stays.now_or_never(), Some(Ok(())));
        assert_eq!(budget.used(), 80);
    }
}
