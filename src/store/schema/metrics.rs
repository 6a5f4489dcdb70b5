//! Table of figures of the service.

/// `metric`: a row for each figure, to which instances add.
///
/// `labels` are as Prometheus has them; `bucket` is the upper bound of a histogram's bucket in microseconds, the
/// greatest number for what is above all bounds, and 0 for a counter or a histogram's sum.
///
/// `written` is the day on which something was added last, as its first millisecond: it changes once a day, so that an
/// index of it costs nothing else. Whatever adds to a histogram adds to its sum, so that row has the whole's day. It
/// came with version 5; rows from before count as written on the day of the migration, `:now`.
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS metric (name TEXT NOT NULL, labels TEXT NOT NULL, bucket BIGINT NOT NULL, \
     value DOUBLE PRECISION NOT NULL, PRIMARY KEY (name, labels, bucket))",
    "ALTER TABLE metric ADD COLUMN written BIGINT NOT NULL DEFAULT :now",
    "CREATE INDEX IF NOT EXISTS metric_by_written ON metric (written) WHERE bucket = 0",
];
