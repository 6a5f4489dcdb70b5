//! A stopwatch.

use std::time::Instant;

#[allow(clippy::disallowed_methods, reason = "a stopwatch")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
