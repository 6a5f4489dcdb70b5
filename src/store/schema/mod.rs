//! Tables and their migrations.
//!
//! Migrations are numbered and only go forward. Instances may run the same one concurrently, so each statement must be
//! idempotent (`IF NOT EXISTS`, or an error that says that it is there), and the number is written last. During an
//! update, instances of the old version work with the new tables: a migration only adds, and the next version removes
//! what it replaces.
//!
//! Times are milliseconds since the Unix epoch. `BLOB` is `BYTEA` in PostgreSQL.

mod history;
mod idempotency;
mod limits;
mod media;
mod metrics;
mod responses;
mod scheduling;
mod tasks;

use std::rc::Rc;
use std::time::Duration;

use super::row::Columns;
use super::statement::{Bound, Dialect};
use super::statements::meta;
use super::{Meta, Store};
use crate::platform::{Database, Row, StoreError, Value, retry};

/// Number of the newest migration.
const VERSION: i64 = 5;
/// Time limit of a migration's statement.
const LIMIT: Duration = Duration::from_secs(10);
/// Length of the link secret, in bytes.
const SECRET: usize = 32;

/// Table of the schema's version and of secrets.
const META: &[&str] =
    &["CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, number BIGINT NOT NULL, bytes BLOB NOT NULL)"];

/// Statements of all migrations, each of which may have been run before.
fn tables() -> impl Iterator<Item = &'static str> {
    let rooms = [
        META,
        scheduling::TABLES,
        tasks::TABLES,
        history::TABLES,
        limits::TABLES,
        idempotency::TABLES,
        responses::TABLES,
        // Since version 2, and more since 3.
        media::TABLES,
        // Since version 4, and a column since 5.
        metrics::TABLES,
    ];
    rooms.into_iter().flatten().copied()
}

/// Statements that create all tables of this version, in `dialect`, in a migration at the time `now`.
pub fn statements(dialect: Dialect, now: i64) -> impl Iterator<Item = String> {
    tables().map(move |text| {
        let text = text.replace(":now", &now.to_string());
        match dialect {
            Dialect::Sqlite => text,
            Dialect::Postgres => text.replace("BLOB", "BYTEA"),
        }
    })
}

/// Reads the data for an instance's start, after a migration where it is needed.
pub(super) async fn open(store: &Store) -> Result<Meta, StoreError> {
    match store.run_first(&meta::READ, vec![]).await {
        Ok(rows) => match meta(rows)? {
            Some(meta) => Ok(meta),
            None => migrate(store).await,
        },
        // The table may not exist yet.
        Err(StoreError::Failed(_)) => migrate(store).await,
        Err(error) => Err(error),
    }
}

/// Parses the table; none for an older version.
fn meta(rows: Vec<Row>) -> Result<Option<Meta>, StoreError> {
    let (mut version, mut secret, mut has_tasks) = (0, None, false);
    for row in rows {
        let mut columns = Columns::of(row);
        match (columns.text()?.as_str(), columns.integer()?, columns.blob()?) {
            ("schema", number, _) => version = number,
            ("link_secret", _, bytes) if bytes.len() == SECRET => secret = Some(Rc::from(bytes)),
            ("tasks", ..) => has_tasks = true,
            _ => {}
        }
    }
    Ok(secret.filter(|_| version >= VERSION).map(|link_secret| Meta { link_secret, has_tasks }))
}

/// True for errors of PostgreSQL where another instance is creating the same table or index.
fn is_race(error: &str) -> bool {
    ["(23505)", "(42P07)", "(42710)", "(XX000)"].iter().any(|code| error.contains(code))
}

/// True for errors of an addition that was made before: SQLite has no `IF NOT EXISTS` for a column.
fn is_there(error: &str) -> bool {
    error.contains("duplicate column name") || error.contains("(42701)")
}

async fn migrate(store: &Store) -> Result<Meta, StoreError> {
    let Some(database) = &store.0.database else { return Err(StoreError::Off) };
    if *database == Database::Sqlite {
        // Stored in the file. A connection in the way has set it already.
        let _ = store.run(&meta::WAL, vec![], LIMIT).await;
    }
    for sql in statements(Dialect::of(database), store.now()) {
        // PostgreSQL fails one of two concurrent creations.
        let pauses = [Duration::from_millis(50); 3];
        let is_lost_race = |error: &StoreError| matches!(error, StoreError::Failed(error) if is_race(error));
        match retry(store.host(), &pauses, is_lost_race, async || store.run_raw(&sql, LIMIT).await).await {
            Err(StoreError::Failed(error)) if is_there(&error) => {}
            outcome => drop(outcome?),
        }
    }
    let mut secret = vec![0; SECRET];
    store.host().fill_random(&mut secret);
    let named = |name: &'static str, number: i64, bytes: Vec<u8>| {
        vec![("name", name.into()), ("number", number.into()), ("bytes", Value::Blob(bytes).into())]
    };
    // The first instance sets the secret.
    store.run(&meta::ADD, named("link_secret", 0, secret), LIMIT).await?;
    store.run(&meta::RAISE, named("schema", VERSION, Vec::new()), LIMIT).await?;
    let rows = store.run(&meta::READ, vec![], LIMIT).await?;
    meta(rows)?.ok_or_else(|| StoreError::Failed("the schema isn't there after it was made".to_owned()))
}

impl Store {
    async fn run_raw(&self, sql: &str, limit: Duration) -> Result<Vec<Row>, StoreError> {
        let bound = Bound { sql: Rc::from(sql), parameters: Vec::new() };
        self.send(bound, limit).await
    }
}
