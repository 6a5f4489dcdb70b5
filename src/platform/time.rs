//! Time limits, and attempts with pauses between them.

use std::time::Duration;

use futures::future::{Either, select};
use thiserror::Error;

use super::port::Host;

/// A time limit ran out.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the time limit ran out")]
pub struct Elapsed;

/// Runs `work`, for `limit` at most; on [`Elapsed`] it has been dropped.
pub async fn timeout<T>(host: &Host, limit: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let work = std::pin::pin!(work);
    match select(work, host.sleep(limit)).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(((), _)) => Err(Elapsed),
    }
}

/// Runs `work` until it succeeds or fails for good, with these pauses between attempts: one attempt more than pauses.
///
/// # Errors
/// The failure that is not `is_transient`, or that of the last attempt.
pub async fn retry<T, E>(
    host: &Host,
    pauses: &[Duration],
    is_transient: impl Fn(&E) -> bool,
    mut work: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    for pause in pauses {
        match work().await {
            Err(error) if is_transient(&error) => host.sleep(*pause).await,
            done => return done,
        }
    }
    work().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::platform::Platform as _;
    use crate::platform::sim::World;

    /// Result of work that goes well at its attempt number `succeeds_at`, the attempts, and the time that all took.
    fn attempts(succeeds_at: u32, is_transient: bool) -> (Result<u32, u32>, u32, Duration) {
        let (world, count) = (World::new(1), Rc::new(Cell::new(0)));
        let (host, begun, counted) = (world.host(), world.now(), Rc::clone(&count));
        let pauses = [Duration::from_secs(1), Duration::from_secs(2)];
        let result = world.run(async move {
            let work = async || {
                counted.set(counted.get() + 1);
                if counted.get() == succeeds_at { Ok(counted.get()) } else { Err(counted.get()) }
            };
            retry(&host, &pauses, |_| is_transient, work).await
        });
        (result, count.get(), world.now() - begun)
    }

    #[test]
    fn work_is_tried_again_after_each_pause_while_it_may_succeed() {
        assert_eq!(attempts(1, true), (Ok(1), 1, Duration::ZERO));
        assert_eq!(attempts(2, true), (Ok(2), 2, Duration::from_secs(1)));
        assert_eq!(attempts(3, true), (Ok(3), 3, Duration::from_secs(3)));
        assert_eq!(attempts(4, true), (Err(3), 3, Duration::from_secs(3)));
        assert_eq!(attempts(2, false), (Err(1), 1, Duration::ZERO));
    }
}
