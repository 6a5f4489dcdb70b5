//! A database as it is after a month's work of many keys: rows as the component has written one of, in great number.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::SinkExt as _;
use rusqlite::types::Value;
use serde_json::Value as Json;
use tokio_postgres::NoTls;

/// A database, as it is reached beside the component.
#[derive(Clone)]
pub(crate) enum Database {
    /// The file.
    Sqlite(PathBuf),
    /// The URL.
    Postgres(String),
}

/// Contents that a database is filled with.
pub(crate) struct Amount {
    pub(crate) images: usize,
    pub(crate) tasks: usize,
}

/// Columns of the tables, as the rows below have them.
const IMAGE: &str = "id, owner, prompt, shown, expires, entry";
const TASK: &str = "id, owner, created, until, expires, status, model, priority, turn, prompt, shown, record, \
                    revision, holder, lease, work, due";
/// Remembered requests of a key that the component keeps.
const KEPT: usize = 500;
/// Unfinished tasks that a key may have.
const UNFINISHED: usize = 100;
const DAY: i64 = 86_400_000;

impl Database {
    /// Text of the first column of the first row.
    pub(crate) async fn text(&self, sql: &str) -> Result<Option<String>> {
        match self {
            Self::Sqlite(file) => {
                let connection = rusqlite::Connection::open(file)?;
                let mut statement = connection.prepare(sql)?;
                let mut rows = statement.query([])?;
                Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
            }
            Self::Postgres(url) => {
                let rows = connect(url).await?.query(sql, &[]).await?;
                Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
            }
        }
    }

    /// Adds the rows. The component has written one request and one finished task into it, of the key to be measured.
    pub(crate) async fn fill(&self, amount: &Amount) -> Result<()> {
        let read = async |sql: &'static str| self.text(sql).await?.with_context(|| format!("no row: {sql}"));
        let entry = read("SELECT entry FROM image ORDER BY id LIMIT 1").await?;
        let record = read("SELECT record FROM task WHERE work = 0 ORDER BY id LIMIT 1").await?;
        let model = read("SELECT model FROM task WHERE work = 0 ORDER BY id LIMIT 1").await?;
        let owner = read("SELECT owner FROM image ORDER BY id LIMIT 1").await?;
        let template = Template { entry, record, model, owner, now: now()? };
        self.add("image", IMAGE, (0..amount.images).map(|number| template.image(number))).await?;
        self.add("task", TASK, (0..amount.tasks).map(|number| template.task(number))).await?;
        match self {
            Self::Sqlite(file) => {
                let connection = rusqlite::Connection::open(file)?;
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            }
            // What its own daemon does after a while.
            Self::Postgres(url) => connect(url).await?.batch_execute("VACUUM ANALYZE").await?,
        }
        Ok(())
    }

    async fn add(&self, table: &str, columns: &str, rows: impl Iterator<Item = Result<Vec<Value>>>) -> Result<()> {
        match self {
            Self::Sqlite(file) => {
                let mut connection = rusqlite::Connection::open(file)?;
                let transaction = connection.transaction()?;
                let marks = vec!["?"; columns.split(',').count()].join(", ");
                let mut statement =
                    transaction.prepare(&format!("INSERT INTO {table} ({columns}) VALUES ({marks})"))?;
                for row in rows {
                    statement.execute(rusqlite::params_from_iter(row?))?;
                }
                drop(statement);
                transaction.commit()?;
            }
            Self::Postgres(url) => {
                let client = connect(url).await?;
                let sink = client.copy_in::<_, Bytes>(&format!("COPY {table} ({columns}) FROM STDIN")).await?;
                let mut sink = std::pin::pin!(sink);
                let mut lines = String::new();
                for row in rows {
                    let row: Vec<String> = row?.iter().map(copied).collect();
                    lines.push_str(&row.join("\t"));
                    lines.push('\n');
                    if lines.len() > 1 << 16 {
                        sink.send(Bytes::from(std::mem::take(&mut lines))).await?;
                    }
                }
                sink.send(Bytes::from(lines)).await?;
                sink.close().await?;
            }
        }
        Ok(())
    }

    /// Keeps all statements that write (in PostgreSQL, also those that read) waiting for that time.
    pub(crate) async fn lock(&self, time: Duration) -> Result<()> {
        match self {
            Self::Sqlite(file) => {
                let connection = rusqlite::Connection::open(file)?;
                connection.busy_timeout(Duration::from_secs(1))?;
                connection.execute_batch("BEGIN IMMEDIATE")?;
                tokio::time::sleep(time).await;
                connection.execute_batch("ROLLBACK")?;
            }
            Self::Postgres(url) => {
                let client = connect(url).await?;
                let tables = "meta, lease, waiter, space, profile, task, image, rate, idempotency";
                client.batch_execute(&format!("BEGIN; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")).await?;
                tokio::time::sleep(time).await;
                client.batch_execute("ROLLBACK").await?;
            }
        }
        Ok(())
    }
}

/// A connection to the database at `url`.
pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Rows that the component has written, to make others of.
struct Template {
    entry: String,
    record: String,
    model: String,
    /// Key that is measured.
    owner: String,
    now: i64,
}

impl Template {
    /// A remembered request of the last 29 days.
    fn image(&self, number: usize) -> Result<Vec<Value>> {
        let created = self.now - 29 * DAY + integer(number)? * 12_000 % (29 * DAY);
        let mut entry: Json = serde_json::from_str(&self.entry)?;
        let prompt = format!("a red fox in the snow, number {number}");
        *entry.get_mut("prompt").context("an entry without a prompt")? = prompt.clone().into();
        Ok(vec![
            text(id(created, number)),
            text(self.owner(number, KEPT)),
            text(prompt),
            Value::Integer(1),
            Value::Integer(created + 30 * DAY),
            text(entry.to_string()),
        ])
    }

    /// A task, by turns finished, waiting for a better time, and worked at by some other instance.
    fn task(&self, number: usize) -> Result<Vec<Value>> {
        let created = self.now - DAY + integer(number)? * 8_000;
        let mut record: Json = serde_json::from_str(&self.record)?;
        let owner = self.owner(number, UNFINISHED * 4);
        let is_finished = number.is_multiple_of(2);
        let is_held = number % 4 == 1;
        let status = if is_finished { "completed" } else { "queued" };
        *record.get_mut("status").context("a record without a status")? = status.into();
        let (work, shown) = if is_finished { (0, 1) } else { (2, 0) };
        let holder = if is_held { hex(number, 16) } else { String::new() };
        Ok(vec![
            text(id(created, number)),
            text(owner),
            Value::Integer(created),
            Value::Integer(created + 2 * DAY),
            Value::Integer(created + 30 * DAY),
            text(status.to_owned()),
            text(self.model.clone()),
            Value::Integer(1),
            Value::Integer(integer(number)?),
            text("a red fox".to_owned()),
            Value::Integer(shown),
            text(record.to_string()),
            Value::Integer(3),
            text(holder),
            Value::Integer(if is_held { self.now + DAY } else { 0 }),
            Value::Integer(work),
            Value::Integer(if is_finished { created } else { self.now + DAY }),
        ])
    }

    /// The first `own` rows are of the key that is measured, the others of a thousand others.
    fn owner(&self, number: usize, own: usize) -> String {
        if number < own { self.owner.clone() } else { hex(number % 1000, self.owner.len()) }
    }
}

/// Digits of the time, and others.
fn id(created: i64, number: usize) -> String {
    format!("{created:012x}{}", hex(number, 20))
}

/// That many digits which look random and differ from number to number.
fn hex(number: usize, digits: usize) -> String {
    let mut text = String::new();
    let mut state = number as u64 + 1;
    while text.len() < digits {
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        text.push_str(&format!("{state:016x}"));
    }
    text.truncate(digits);
    text
}

fn text(text: String) -> Value {
    Value::Text(text)
}

fn integer(number: usize) -> Result<i64> {
    Ok(i64::try_from(number)?)
}

/// A value as `COPY` has it.
fn copied(value: &Value) -> String {
    match value {
        Value::Text(text) => text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n"),
        Value::Integer(number) => number.to_string(),
        Value::Null | Value::Real(_) | Value::Blob(_) => "\\N".to_owned(),
    }
}

/// Milliseconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "rows have times")]
fn now() -> Result<i64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    ensure!(now.as_secs() > 1_500_000_000, "the clock isn't set");
    Ok(i64::try_from(now.as_millis())?)
}
