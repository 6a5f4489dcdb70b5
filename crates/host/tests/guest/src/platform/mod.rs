//! The application's own wakers and timers.

#[path = "../../../../../../src/platform/timers.rs"]
mod timers;
pub mod wasi;
