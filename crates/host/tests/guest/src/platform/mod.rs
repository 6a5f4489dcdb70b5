//! The application's own wakers and timers.

#[path = "../../../../../../src/platform/timers.rs"]
#[allow(dead_code, reason = "the guest sleeps by the host itself")]
mod timers;
pub mod wasi;
