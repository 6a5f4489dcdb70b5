//! Statements on the rate limit.

use crate::store::statement::Statement;

/// Counts a request within the limit and returns the new arrival time. A stored time `beyond` any valid one counts as
/// none.
pub const ADMIT: Statement = Statement(
    "INSERT INTO rate (owner, arrival) VALUES (:owner, :first) ON CONFLICT (owner) DO UPDATE SET arrival = \
     CASE WHEN rate.arrival > CAST(:now AS BIGINT) AND rate.arrival <= CAST(:beyond AS BIGINT) \
     THEN rate.arrival + CAST(:interval AS BIGINT) ELSE excluded.arrival END \
     WHERE rate.arrival <= CAST(:latest AS BIGINT) OR rate.arrival > CAST(:beyond AS BIGINT) RETURNING arrival",
);

/// Reads an arrival time.
pub const READ: Statement = Statement("SELECT arrival FROM rate WHERE owner = :owner");

/// Deletes arrival times more than a minute in the past.
pub const SWEEP: Statement = Statement(
    "DELETE FROM rate WHERE owner IN (SELECT owner FROM rate WHERE arrival < (CAST(:now AS BIGINT) - 60000) * 1000 \
     ORDER BY arrival LIMIT :most) AND arrival < (CAST(:now AS BIGINT) - 60000) * 1000 RETURNING 1",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    let admit = vec![
        ("owner", "me".into()),
        ("first", 3_i64.into()),
        ("now", 1_i64.into()),
        ("interval", 2_i64.into()),
        ("latest", 4_i64.into()),
        ("beyond", 5_i64.into()),
    ];
    vec![
        ("ADMIT", ADMIT, admit),
        ("READ", READ, vec![("owner", "me".into())]),
        ("SWEEP", SWEEP, vec![("now", 0_i64.into()), ("most", 1_i64.into())]),
    ]
}
