//! Rows of tasks.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::image::TaskStatus;
use super::record::{RemainingWork, TaskRecord};
use crate::generation::Priority;
use crate::history::entry::fold;
use crate::platform::{Host, Row, StoreError, Value, random_hex};
use crate::store::id::TimeId;
use crate::store::lease::{TTL, expiry, free_before};
use crate::store::row::Columns;
use crate::store::statement::{Argument, Parameter};
use crate::store::statements::tasks;
use crate::store::{Store, integer, milliseconds};

/// Maximum count of unfinished tasks in a look.
const COUNTED: i64 = 1000;
/// Maximum count of tasks by status.
const MOST_COUNTED: i64 = 100_000;
/// Maximum number of finished tasks of a key.
const KEPT: i64 = 1000;

/// Store of tasks.
#[derive(Clone)]
pub struct TaskStore {
    pub(super) store: Store,
}

/// Token of a runner, unique for each claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunnerToken(String);

/// Row of a new task.
pub struct NewTaskRow<'a> {
    /// Id of the task.
    pub id: &'a TimeId,
    /// Owner of the task.
    pub owner: &'a str,
    /// Model whose Spaces make its images.
    pub model: &'a str,
    /// Record of the task.
    pub record: &'a TaskRecord,
    /// End of the time in which it can be read.
    pub until: Duration,
    /// Maximum number of its owner's unfinished tasks, this one included.
    pub most: u32,
}

/// A task that a runner holds.
pub struct ClaimedTask {
    /// Id of the task.
    pub id: TimeId,
    /// Owner of the task.
    pub owner: String,
    /// Record of the task.
    pub record: TaskRecord,
    /// Revision of the last write.
    pub revision: i64,
    /// Token of the runner.
    pub token: RunnerToken,
}

/// A task at the time of a read.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Record of the task.
    pub record: TaskRecord,
    /// Revision of the last write.
    pub revision: i64,
}

/// Holder of a task after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHolder {
    /// The writing runner.
    Keep,
    /// None: the task waits until this time, in milliseconds since the Unix epoch.
    Wait(i64),
}

/// Changes of a task's row at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowEnd {
    /// Bits of the images that the history lists.
    pub shown: i64,
    /// Expiry of the row, in milliseconds since the Unix epoch.
    pub expires: i64,
}

/// Findings of a look at the tasks of all instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Number of unfinished tasks, up to a thousand.
    pub unfinished: u32,
    /// Set where an instance is watching.
    pub is_watched: bool,
    /// Set where tasks have dead runners.
    pub has_expired: bool,
    /// Set where a webhook is due.
    pub has_deliveries: bool,
    /// Models with waiting tasks.
    pub models: Vec<String>,
}

impl RunnerToken {
    /// A new token.
    pub fn new(host: &Host) -> Self {
        Self(random_hex::<8>(host))
    }
}

impl TaskStore {
    /// Tasks in `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone() }
    }

    fn now(&self) -> i64 {
        self.store.now()
    }

    fn lease(&self) -> i64 {
        expiry(self.store.host().unix_time(), TTL)
    }

    /// Adds a task. Returns false where its owner has too many.
    ///
    /// # Errors
    /// Failures of the store, which may have added the task all the same.
    pub async fn add(&self, row: NewTaskRow<'_>) -> Result<bool, StoreError> {
        let NewTaskRow { id, owner, model, record, until, most } = row;
        let priority: i64 = match record.priority() {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low => 2,
        };
        let parameters = vec![
            ("id", id.as_str().into()),
            ("owner", owner.into()),
            ("created", milliseconds(id.created()).into()),
            ("until", milliseconds(until).into()),
            ("model", model.into()),
            ("priority", priority.into()),
            ("prompt", fold(record.prompt()).into()),
            ("record", json(record)?.into()),
            ("most", Value::from(most).into()),
        ];
        Ok(self.store.first(&tasks::ADD, parameters).await?.is_some())
    }

    /// Claims the next waiting task of `model`, whose Spaces have `slots`.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn claim(&self, model: &str, slots: usize) -> Result<Option<ClaimedTask>, StoreError> {
        let last = integer(slots.max(1) - 1);
        self.take(&tasks::CLAIM, vec![("model", model.into()), ("last", last.into())]).await
    }

    /// Claims a task with a due webhook.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn claim_delivery(&self) -> Result<Option<ClaimedTask>, StoreError> {
        self.take(&tasks::CLAIM_DELIVERY, Vec::new()).await
    }

    async fn take(
        &self,
        statement: &crate::store::statement::Statement,
        mut parameters: Vec<Parameter>,
    ) -> Result<Option<ClaimedTask>, StoreError> {
        let token = RunnerToken::new(self.store.host());
        parameters.extend([
            ("holder", token.0.as_str().into()),
            ("lease", self.lease().into()),
            ("now", self.now().into()),
        ]);
        let Some(row) = self.store.first(statement, parameters).await? else { return Ok(None) };
        let mut columns = Columns::of(row);
        let (id, owner, record) = (id(&mut columns)?, columns.text()?, record(&columns.text()?));
        let revision = columns.integer()?;
        let Some(record) = record else {
            // An unreadable task can't run, and would block others.
            self.store.spawn(&tasks::ABANDON, vec![("id", id.as_str().into()), ("holder", token.0.into())]);
            return Ok(None);
        };
        Ok(Some(ClaimedTask { id, owner, record, revision, token }))
    }

    /// Writes a task that `token` holds, with a revision greater than that of any earlier write. Returns false where
    /// `token` has lost it.
    ///
    /// # Errors
    /// Failures of the store, which may have written all the same; so the next write needs another revision.
    pub async fn save(
        &self,
        id: &TimeId,
        token: &RunnerToken,
        (record, revision): (&TaskRecord, i64),
        next: NextHolder,
        end: Option<RowEnd>,
    ) -> Result<bool, StoreError> {
        let (holder, lease, due) = match next {
            NextHolder::Keep => (token.0.as_str(), self.lease(), self.now()),
            NextHolder::Wait(due) => ("", 0, due),
        };
        let parameters = vec![
            ("id", id.as_str().into()),
            ("holder", token.0.as_str().into()),
            ("revision", revision.into()),
            ("record", json(record)?.into()),
            ("status", record.status.name().into()),
            ("next", holder.into()),
            ("lease", lease.into()),
            ("work", record.work().number().into()),
            ("due", due.into()),
            ("shown", Value::from(end.map(|end| end.shown)).into()),
            ("expires", Value::from(end.map(|end| end.expires)).into()),
        ];
        Ok(self.store.first(&tasks::SAVE, parameters).await?.is_some())
    }

    /// Cancels a task at the revision of `seen` and claims it. None where it was written since.
    ///
    /// # Errors
    /// Failures of the store, which may have cancelled the task all the same.
    pub async fn cancel(
        &self,
        id: &TimeId,
        owner: &str,
        seen: Snapshot,
        end: RowEnd,
    ) -> Result<Option<ClaimedTask>, StoreError> {
        let token = RunnerToken::new(self.store.host());
        let Snapshot { record, revision } = seen;
        let (holder, lease) = match record.work() {
            RemainingWork::Nothing => ("", 0),
            RemainingWork::Webhook | RemainingWork::Images => (token.0.as_str(), self.lease()),
        };
        let parameters = vec![
            ("id", id.as_str().into()),
            ("revision", revision.into()),
            ("record", json(&record)?.into()),
            ("next", holder.into()),
            ("lease", lease.into()),
            ("work", record.work().number().into()),
            ("now", self.now().into()),
            ("shown", end.shown.into()),
            ("expires", end.expires.into()),
        ];
        let Some(row) = self.store.first(&tasks::CANCEL, parameters).await? else { return Ok(None) };
        let revision = Columns::of(row).integer()?;
        Ok(Some(ClaimedTask { id: id.clone(), owner: owner.to_owned(), record, revision, token }))
    }

    /// Tokens that still hold their task; with `renews`, also renews their leases.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn check(
        &self,
        held: &[(TimeId, RunnerToken)],
        renews: bool,
    ) -> Result<HashSet<RunnerToken>, StoreError> {
        let mut parameters = vec![
            ("ids", Argument::list(held.iter().map(|(id, _)| id.as_str()))),
            ("holders", Argument::list(held.iter().map(|(_, token)| token.0.as_str()))),
        ];
        let statement = if renews {
            parameters.push(("lease", self.lease().into()));
            &tasks::RENEW
        } else {
            &tasks::CHECK
        };
        let rows = self.store.query(statement, parameters).await?;
        rows.into_iter().map(|row| Columns::of(row).text().map(RunnerToken)).collect()
    }

    /// Requeues the tasks of dead runners.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn requeue(&self) -> Result<(), StoreError> {
        let before = free_before(self.store.host().unix_time());
        self.store.query(&tasks::REQUEUE, vec![("before", before.into())]).await.map(drop)
    }

    /// Looks for work to do.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn look(&self) -> Result<Findings, StoreError> {
        let before = free_before(self.store.host().unix_time());
        let parameters = vec![("now", self.now().into()), ("before", before.into()), ("most", COUNTED.into())];
        let mut findings = Findings::default();
        for row in self.store.query(&tasks::LOOK, parameters).await? {
            let mut columns = Columns::of(row);
            let (what, model, number) = (columns.text()?, columns.text()?, columns.integer()?);
            match what.as_str() {
                "model" => findings.models.push(model),
                "open" => findings.unfinished = u32::try_from(number).unwrap_or(u32::MAX),
                "watched" => findings.is_watched = number >= before,
                "expired" => findings.has_expired = number > 0,
                "delivery" => findings.has_deliveries = number > 0,
                _ => {}
            }
        }
        Ok(findings)
    }

    /// Reads a task of `owner`. The flag is set while a runner holds it.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn read(&self, id: &TimeId, owner: &str) -> Result<Option<(Snapshot, bool)>, StoreError> {
        let parameters = vec![("id", id.as_str().into()), ("owner", owner.into()), ("now", self.now().into())];
        let Some(row) = self.store.first(&tasks::READ, parameters).await? else { return Ok(None) };
        let mut columns = Columns::of(row);
        let (Some(record), revision) = (record(&columns.text()?), columns.integer()?) else { return Ok(None) };
        let snapshot = Snapshot { record, revision };
        let is_held = columns.integer()? >= free_before(self.store.host().unix_time());
        Ok(Some((snapshot, is_held)))
    }

    /// Lists up to `most` tasks of `owner` older than `after`, the newest first, filtered by `status`.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn list(
        &self,
        owner: &str,
        after: Option<&TimeId>,
        status: Option<&'static str>,
        most: usize,
    ) -> Result<Vec<(TimeId, Option<TaskRecord>)>, StoreError> {
        let parameters = vec![
            ("owner", owner.into()),
            ("after", after.map_or(TimeId::END, TimeId::as_str).into()),
            ("now", self.now().into()),
            ("statuses", Argument::list(status)),
            ("most", integer(most).into()),
        ];
        let rows = self.store.query(&tasks::LIST, parameters).await?.into_iter().map(Columns::of);
        rows.map(|mut columns| Ok((id(&mut columns)?, record(&columns.text()?)))).collect()
    }

    /// Revisions of tasks; tasks that can't be read are left out.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn revisions(&self, ids: &[TimeId]) -> Result<Vec<(TimeId, i64)>, StoreError> {
        let rows = self.store.query(&tasks::REVISIONS, self.named(ids)).await?.into_iter().map(Columns::of);
        rows.map(|mut columns| Ok((id(&mut columns)?, columns.integer()?))).collect()
    }

    /// Reads several tasks.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn read_all(&self, ids: &[TimeId]) -> Result<Vec<(TimeId, Snapshot)>, StoreError> {
        let read = |row: Row| {
            let mut columns = Columns::of(row);
            let (id, record, revision) = (id(&mut columns)?, record(&columns.text()?), columns.integer()?);
            Ok(record.map(|record| (id, Snapshot { record, revision })))
        };
        let rows = self.store.query(&tasks::READ_ALL, self.named(ids)).await?;
        rows.into_iter().filter_map(|row| read(row).transpose()).collect()
    }

    fn named(&self, ids: &[TimeId]) -> Vec<Parameter> {
        vec![("ids", Argument::list(ids.iter().map(TimeId::as_str))), ("now", self.now().into())]
    }

    /// Deletes a finished task. Returns false where there is none.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn forget(&self, id: &TimeId, owner: &str) -> Result<bool, StoreError> {
        let parameters = vec![("id", id.as_str().into()), ("owner", owner.into()), ("now", self.now().into())];
        let Some(row) = self.store.first(&tasks::FORGET, parameters).await? else { return Ok(false) };
        if Columns::of(row).integer()? == 0 {
            self.store.spawn(&tasks::DELETE, vec![("id", id.as_str().into())]);
        }
        Ok(true)
    }

    /// Numbers of the tasks that have not ended, by status, and of webhooks that are due, as `webhook`.
    pub async fn count(&self) -> Result<BTreeMap<&'static str, i64>, StoreError> {
        let mut counts = BTreeMap::from([("queued", 0), ("running", 0), ("webhook", 0)]);
        for row in self.store.query(&tasks::COUNT, vec![("most", MOST_COUNTED.into())]).await? {
            let mut columns = Columns::of(row);
            let (work, status, count) = (columns.integer()?, columns.text()?, columns.integer()?);
            let status = match TaskStatus::parse(&status) {
                Some(status) if work == RemainingWork::Images.number() => status.name(),
                _ => "webhook",
            };
            *counts.entry(status).or_default() += count;
        }
        Ok(counts)
    }

    /// Deletes the oldest finished tasks of an owner with too many, in the background.
    pub fn spawn_trim(&self, owner: &str) {
        self.store.spawn(&tasks::TRIM, vec![("owner", owner.into()), ("kept", KEPT.into())]);
    }
}

fn id(columns: &mut Columns) -> Result<TimeId, StoreError> {
    let text = columns.text()?;
    TimeId::parse(&text).ok_or_else(|| StoreError::Failed("a task's id can't be read".to_owned()))
}

/// Parses a record; none for an unknown form.
fn record(json: &str) -> Option<TaskRecord> {
    serde_json::from_str(json).ok()
}

fn json(record: &TaskRecord) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|error| StoreError::Failed(error.to_string()))
}
