//! Waits for memory of the instance's budget, of bounded time.

use std::time::Duration;

use super::memory::{OutOfMemory, Reservation};
use super::port::Host;
use super::time::timeout;

/// Time that memory is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Grows a reservation to `bytes`, in turn with all others who wait.
///
/// # Errors
/// [`OutOfMemory`] where there never are as many, or not within 10 s, as others don't give theirs back.
pub async fn grow(host: &Host, reservation: &mut Reservation, bytes: usize) -> Result<(), OutOfMemory> {
    if reservation.try_grow_to(bytes) {
        return Ok(());
    }
    timeout(host, PATIENCE, reservation.wait_to_grow_to(bytes)).await.unwrap_or(Err(OutOfMemory { bytes }))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::join_all;

    use super::*;
    use crate::platform::sim::World;
    use crate::platform::{MemoryBudget, Platform as _};

    #[test]
    fn memory_is_given_in_turn_and_given_back() {
        let world = World::new(1);
        let (host, budget) = (world.host(), MemoryBudget::new(100));
        let first = budget.try_reserve(60).unwrap();
        assert!(budget.try_reserve(60).is_none());
        let waiting = [60, 30, 20].map(|bytes| {
            let (host, budget) = (host.clone(), budget.clone());
            async move {
                let mut reservation = budget.none();
                grow(&host, &mut reservation, bytes).await.map(|()| reservation.bytes())
            }
        });
        let releasing = host.sleep(Duration::from_secs(3)).map(|()| drop(first));
        let used = budget.clone();
        let granted = world.run(async move { futures::join!(join_all(waiting), releasing).0 });
        assert_eq!(granted, [Ok(60), Ok(30), Ok(20)]);
        assert_eq!(used.used(), 0);
    }

    #[test]
    fn who_waits_for_long_is_refused_and_lets_the_next_one_go_on() {
        let world = World::new(1);
        let (host, budget) = (world.host(), MemoryBudget::new(100));
        let _kept = budget.try_reserve(50).unwrap();
        let waiting = [60, 10].map(|bytes| {
            let (host, budget) = (host.clone(), budget.clone());
            async move {
                let mut reservation = budget.none();
                let outcome = grow(&host, &mut reservation, bytes).await;
                (outcome.map(|()| reservation.bytes()), host.now())
            }
        });
        let begun = host.now();
        let outcomes = world.run(join_all(waiting));
        assert_eq!(outcomes[0], (Err(OutOfMemory { bytes: 60 }), begun + PATIENCE));
        assert_eq!(outcomes[1], (Ok(10), begun + PATIENCE));
        assert_eq!(budget.used(), 50);
    }

    #[test]
    fn what_can_never_be_is_refused_at_once() {
        let world = World::new(1);
        let (host, budget) = (world.host(), MemoryBudget::new(100));
        let begun = world.now();
        let outcome = world.run(async move { grow(&host, &mut budget.none(), 101).await });
        assert_eq!((outcome, world.now()), (Err(OutOfMemory { bytes: 101 }), begun));
    }
}
