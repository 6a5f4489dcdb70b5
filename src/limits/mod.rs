//! Limits of one API key: requests in a minute ([`rate`]), and images in the making at once ([`jobs`]), over all
//! instances.
//!
//! Both are off unless the operator sets them, and cost nothing then; each costs one statement that a request waits
//! for. Callers without a key, where everybody is let in, are one.

pub mod config;
pub mod jobs;
pub mod rate;
