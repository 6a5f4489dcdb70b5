//! Table of figures of the service.

/// `metric`: a row for each figure, to which instances add.
///
/// `labels` are as Prometheus has them; `bucket` is the upper bound of a histogram's bucket in microseconds, the
/// greatest number for what is above all bounds, and 0 for a counter or a histogram's sum.
pub(super) const TABLES: &[&str] =
    &["CREATE TABLE IF NOT EXISTS metric (name TEXT NOT NULL, labels TEXT NOT NULL, bucket BIGINT NOT NULL, \
     value DOUBLE PRECISION NOT NULL, PRIMARY KEY (name, labels, bucket))"];
