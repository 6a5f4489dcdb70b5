//! Observation of requests: a line in the log for each when it ends, and figures of the whole service ([`metrics`]).
//!
//! A request has a [`record`] of what is known of it; an [`ending`] follows its answer to the last byte, or to the
//! moment in which its client leaves, and writes the line then. [`images`] watches what becomes of its images. `spans`
//! are of the same record, where the host collects them.

pub mod ending;
pub mod images;
pub mod metrics;
pub mod observer;
pub mod record;
mod spans;
