//! The rows of tasks.

use std::collections::HashSet;
use std::time::Duration;

use super::record::{RemainingWork, TaskRecord};
use crate::generation::Priority;
use crate::history::entry::fold;
use crate::platform::{Outside, Row, StoreError, Value, random_hex};
use crate::store::id::TimeId;
use crate::store::lease::{TTL, expiry, free_before};
use crate::store::row::Columns;
use crate::store::statement::{Argument, Parameter};
use crate::store::statements::tasks;
use crate::store::{Store, integer, milliseconds};

/// Unfinished tasks that a look counts at most.
const COUNTED: i64 = 1000;
/// Finished tasks of a key that can be asked for.
const KEPT: i64 = 1000;

/// The database, as tasks use it.
#[derive(Clone)]
pub struct TaskStore {
    pub(super) store: Store,
}

/// What tells a runner from all others: each time a task is taken, there is another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunnerToken(String);

/// A new task's row.
pub struct NewTaskRow<'a> {
    /// Its id.
    pub id: &'a TimeId,
    /// Its owner.
    pub owner: &'a str,
    /// The model whose Spaces make its images.
    pub model: &'a str,
    /// The record.
    pub record: &'a TaskRecord,
    /// End of the time in which it can be asked for.
    pub until: Duration,
    /// Unfinished tasks that its owner may have, this one included.
    pub most: u32,
}

/// A task that a runner has taken.
pub struct ClaimedTask {
    /// Its id.
    pub id: TimeId,
    /// Its owner.
    pub owner: String,
    /// The record.
    pub record: TaskRecord,
    /// Number of the last write.
    pub revision: i64,
    /// The runner's token.
    pub token: RunnerToken,
}

/// A task as it was read.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The record.
    pub record: TaskRecord,
    /// Number of the last write.
    pub revision: i64,
}

/// Holder of a task after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHolder {
    /// The runner that writes.
    Keep,
    /// Nobody; it waits until then, in milliseconds since the Unix epoch.
    Wait(i64),
}

/// Changes of a task's row at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowEnd {
    /// Images that the history lists.
    pub shown: i64,
    /// End of the row, in milliseconds since the Unix epoch.
    pub expires: i64,
}

/// Work that is to be done for tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Unfinished tasks, up to a thousand.
    pub unfinished: u32,
    /// Whether an instance watches them.
    pub is_watched: bool,
    /// Whether some have dead runners.
    pub has_expired: bool,
    /// Whether a webhook is due.
    pub has_deliveries: bool,
    /// Models whose tasks wait.
    pub models: Vec<String>,
}

impl RunnerToken {
    /// A new one.
    pub fn new(host: &Outside) -> Self {
        Self(random_hex::<8>(host))
    }
}

impl TaskStore {
    /// The tasks in `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone() }
    }

    fn now(&self) -> i64 {
        self.store.now()
    }

    fn lease(&self) -> i64 {
        expiry(self.store.host().unix_time(), TTL)
    }

    /// Adds a task. Returns whether its owner has room for it.
    ///
    /// # Errors
    /// Failures of the store. It may have added it all the same.
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

    /// Takes the next waiting task of `model`, whose Spaces have `slots`.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn claim(&self, model: &str, slots: usize) -> Result<Option<ClaimedTask>, StoreError> {
        let last = integer(slots.max(1) - 1);
        self.take(&tasks::CLAIM, vec![("model", model.into()), ("last", last.into())]).await
    }

    /// Takes a task of which only the webhook is left.
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
            // Nobody will ever make anything of it, and it takes a place from others.
            self.store.spawn(&tasks::ABANDON, vec![("id", id.as_str().into()), ("holder", token.0.into())]);
            return Ok(None);
        };
        Ok(Some(ClaimedTask { id, owner, record, revision, token }))
    }

    /// Writes a task that `token` holds, with a number that is greater than that of any write before. Returns whether
    /// `token` still holds it.
    ///
    /// # Errors
    /// Failures of the store. It may have written all the same; so the next write needs another number.
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

    /// Ends a task as it was seen. Returns it as a runner's that holds it, and nothing where somebody has written
    /// since.
    ///
    /// # Errors
    /// Failures of the store. It may have ended it all the same.
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

    /// Tells which of these runners still hold their task; lets their leases last longer, where `renews`.
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

    /// Lets the tasks of dead runners wait again.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn requeue(&self) -> Result<(), StoreError> {
        let before = free_before(self.store.host().unix_time());
        self.store.query(&tasks::REQUEUE, vec![("before", before.into())]).await.map(drop)
    }

    /// Tells what is to be done.
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

    /// Reads a task of `owner`'s, and whether a runner holds it.
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

    /// Lists up to `most` tasks of `owner`, the newest first, older than `after`; of that status alone, where one is
    /// named.
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

    /// The numbers of the last writes of tasks; those that can't be asked for are left out.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn revisions(&self, ids: &[TimeId]) -> Result<Vec<(TimeId, i64)>, StoreError> {
        let rows = self.store.query(&tasks::REVISIONS, self.named(ids)).await?.into_iter().map(Columns::of);
        rows.map(|mut columns| Ok((id(&mut columns)?, columns.integer()?))).collect()
    }

    /// Reads tasks.
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

    /// Forgets a task that has ended. Returns whether it was one.
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

    /// Forgets the oldest finished tasks of an owner who has too many, beside the present request.
    pub fn spawn_trim(&self, owner: &str) {
        self.store.spawn(&tasks::TRIM, vec![("owner", owner.into()), ("kept", KEPT.into())]);
    }
}

fn id(columns: &mut Columns) -> Result<TimeId, StoreError> {
    let text = columns.text()?;
    TimeId::parse(&text).ok_or_else(|| StoreError::Failed("a task's id can't be read".to_owned()))
}

/// Reads a record; one of another form is as good as none.
fn record(json: &str) -> Option<TaskRecord> {
    serde_json::from_str(json).ok()
}

fn json(record: &TaskRecord) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|error| StoreError::Failed(error.to_string()))
}
