//! Limits of an API key over all instances: requests per minute ([`rate`]) and concurrent images ([`jobs`]).
//!
//! Both are off by default and then cost nothing; each costs one statement on the path of a request. Where no key is
//! required, all callers without one share a limit.

pub mod config;
pub mod jobs;
pub mod rate;
