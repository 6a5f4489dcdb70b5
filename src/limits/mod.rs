//! How much one API key may ask for: requests in a minute ([`rate`]), and images being made at once ([`jobs`]).
//!
//! Both are off unless the operator sets them, and cost nothing then. Callers without a key, where everybody is let in, are one.

pub mod jobs;
pub mod rate;
