//! As the application has them in its module of the same name.

#[allow(dead_code, reason = "the guest sleeps by the host itself")]
#[path = "../../../../../../../src/platform/wasi/wake.rs"]
pub mod wake;
