//! As the application has them in its module of the same name.

#[path = "../../../../../../../src/platform/wasi/wake.rs"]
pub mod wake;

mod wire {
    /// In WASI's unit.
    pub(super) fn nanoseconds(duration: std::time::Duration) -> u64 {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    }
}
