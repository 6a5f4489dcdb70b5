//! Admission of requests to the instances of a component, a few at a time.
//!
//! wasmtime starts an instance for each request that finds all others computing. So each request of a burst would have
//! one of its own, which takes some milliseconds of computing to start, where two could serve all of them. Here some
//! requests begin at a time, and the next one once the instance of one of them has given its thread back.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Number of requests that begin at a time, for each processor.
const EACH: usize = 2;
/// Time after which a request begins in any case.
const LONGEST: Duration = Duration::from_millis(20);

/// Number of processors.
pub(crate) fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Admission to the instances of a component.
pub(crate) struct Admission(Arc<Semaphore>);

/// Permit of a request that begins, until its instance has given its thread back.
#[derive(Debug, Default)]
pub(crate) struct Permit(Mutex<Option<OwnedSemaphorePermit>>);

impl Admission {
    /// An admission for this machine's processors.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(processors() * EACH)))
    }

    /// Waits for a permit, and puts it into `permit`.
    pub(crate) async fn admit(&self, permit: &Permit) {
        let permitted = timeout(LONGEST, Arc::clone(&self.0).acquire_owned()).await;
        *permit.lock() = permitted.ok().and_then(Result::ok);
    }
}

impl Permit {
    /// Lets another request begin.
    pub(crate) fn release(&self) {
        drop(self.lock().take());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn some_begin_at_a_time_and_nobody_waits_for_long() {
        let admission = Admission(Arc::new(Semaphore::new(1)));
        let [first, second, third] = [(); 3].map(|()| Permit::default());
        admission.admit(&first).await;
        assert!(timeout(LONGEST / 4, admission.admit(&second)).await.is_err(), "the first one hasn't begun");
        first.release();
        assert!(timeout(LONGEST / 4, admission.admit(&second)).await.is_ok());
        admission.admit(&third).await;
        assert!(second.lock().is_some() && third.lock().is_none(), "it begins all the same");
    }
}
