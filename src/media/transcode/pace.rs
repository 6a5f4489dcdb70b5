//! Pace of long computing.

use std::cell::Cell;
use std::time::Duration;

use crate::platform::Host;

/// Longest time of computing after which others have their turn.
const STRETCH: Duration = Duration::from_millis(8);
/// Pause in which they do: until the host has looked for what is ready.
const REST: Duration = Duration::from_millis(1);

/// Pace of a computation, which shares its instance's one thread with other requests.
pub(super) struct Pace {
    host: Host,
    /// Begin of the present stretch, monotonic.
    since: Cell<Duration>,
}

impl Pace {
    /// The pace of a computation that begins now.
    pub(super) fn new(host: &Host) -> Self {
        Self { host: host.clone(), since: Cell::new(host.now()) }
    }

    /// Lets others have their turn where the stretch has been long enough.
    pub(super) async fn keep(&self) {
        if self.host.now().saturating_sub(self.since.get()) >= STRETCH {
            self.host.sleep(REST).await;
            self.since.set(self.host.now());
        }
    }
}
