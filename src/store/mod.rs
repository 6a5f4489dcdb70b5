//! Access to the database, which all instances on all machines share.
//!
//! [`Store`] runs [`Statement`]s, each a transaction of its own, with a time limit. The first one of an instance
//! migrates the [`schema`]; [`lease`] holds exclusive resources; [`sweep`] deletes expired rows. All statements are in
//! [`statements`], one file for each room, so that one test checks them against the rules of both engines.
//!
//! **Failures.** A refused statement fails alone. A timeout makes the store [`StoreError::Down`]: until a trial in the
//! background succeeds, all statements fail at once, so that no generation waits for a hanging database. The failure is
//! logged once.

pub mod availability;
pub mod id;
pub mod lease;
pub mod once;
mod open;
pub mod row;
pub mod schema;
pub mod statement;
pub mod statements;
pub mod sweep;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;

use self::availability::{Availability, Gate};
use self::once::Once;
use self::statement::{Bound, Dialect, Parameter, Statement};
use crate::platform::log::Log;
use crate::platform::{Database, Host, Row, StoreError, Value, random_hex, timeout};
use crate::warn_once::WarnOnce;

/// Time limit of a statement.
const LIMIT: Duration = Duration::from_secs(3);
/// Time limit of an instance's first statement, for which a generation waits.
const FIRST_LIMIT: Duration = Duration::from_secs(1);
/// Warning of a failing database, logged once by an instance.
const FAILURE: &str = "The database fails. Until it is back, generations go on without it: each instance counts limits \
                       for itself, answers to an Idempotency-Key are not kept, and tasks are refused.";

/// Handle to the database. Clones share it.
#[derive(Clone)]
pub struct Store(Rc<StoreInner>);

struct StoreInner {
    host: Host,
    /// None where the variable `database` is `none`.
    database: Option<Database>,
    /// Id of this instance: 24 random hexadecimal digits.
    instance: String,
    availability: RefCell<Availability>,
    opened: Once<Result<Meta, StoreError>>,
    failure: WarnOnce,
    watch: RefCell<Option<StatementWatch>>,
}

/// Observer of statements: the time that each took, and its failure.
pub type StatementWatch = Rc<dyn Fn(Duration, Option<&StoreError>)>;

/// Data that an instance reads at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Secret for image links where none is configured: 32 bytes.
    pub link_secret: Rc<[u8]>,
    /// Marks a service with unfinished tasks.
    pub has_tasks: bool,
}

impl Store {
    /// A store in `database`, which connects with the first statement.
    pub fn new(host: &Host, database: Option<Database>, log: &Log) -> Self {
        Self(Rc::new(StoreInner {
            host: Rc::clone(host),
            database,
            instance: random_hex::<12>(host),
            availability: RefCell::default(),
            opened: Once::default(),
            failure: WarnOnce::new(FAILURE, log),
            watch: RefCell::default(),
        }))
    }

    /// Has statements observed from now on.
    pub fn watch(&self, watch: StatementWatch) {
        *self.0.watch.borrow_mut() = Some(watch);
    }

    /// Host that runs the statements.
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    /// Id of this instance, unique in the database.
    pub fn instance(&self) -> &str {
        &self.0.instance
    }

    /// True if a database is configured.
    pub fn is_on(&self) -> bool {
        self.0.database.is_some()
    }

    /// True while statements are sent, false while they fail at once.
    pub fn is_up(&self) -> bool {
        self.is_on() && self.0.availability.borrow().is_up()
    }

    /// Milliseconds since the Unix epoch, the unit of all times in the database.
    pub fn now(&self) -> i64 {
        milliseconds(self.0.host.unix_time())
    }

    /// Runs `statement` and returns its rows.
    ///
    /// # Errors
    /// No database, or one that fails or doesn't answer within 3 s.
    pub async fn query(&self, statement: &Statement, parameters: Vec<Parameter>) -> Result<Vec<Row>, StoreError> {
        self.meta().await?;
        self.run(statement, parameters, LIMIT).await
    }

    /// Runs `statement` and returns its first row.
    ///
    /// # Errors
    /// As [`Store::query`].
    pub async fn first(&self, statement: &Statement, parameters: Vec<Parameter>) -> Result<Option<Row>, StoreError> {
        Ok(self.query(statement, parameters).await?.into_iter().next())
    }

    /// Runs `statement` in the background. A failure is logged once.
    pub fn spawn(&self, statement: &'static Statement, parameters: Vec<Parameter>) {
        let this = self.clone();
        self.0.host.spawn(Box::pin(async move {
            // A failure was logged.
            let _ = this.query(statement, parameters).await;
        }));
    }

    /// Runs `statement` on a database with any schema, so that a refusal isn't logged.
    async fn run_first(&self, statement: &Statement, parameters: Vec<Parameter>) -> Result<Vec<Row>, StoreError> {
        self.admit()?;
        self.send(self.bind(statement, parameters)?, FIRST_LIMIT).await
    }

    async fn run(
        &self,
        statement: &Statement,
        parameters: Vec<Parameter>,
        limit: Duration,
    ) -> Result<Vec<Row>, StoreError> {
        self.admit()?;
        let answer = self.send(self.bind(statement, parameters)?, limit).await;
        if let Err(error) = &answer {
            self.0.failure.warn(error);
        }
        answer
    }

    /// Fails while no statements are sent.
    fn admit(&self) -> Result<(), StoreError> {
        let admission = self.0.availability.borrow_mut().admit(self.0.host.now());
        match admission {
            Gate::Up => return Ok(()),
            Gate::Trial => self.spawn_trial(),
            Gate::Down => {}
        }
        Err(StoreError::Down)
    }

    /// Sends a trial in the background.
    fn spawn_trial(&self) {
        let this = self.clone();
        self.0.host.spawn(Box::pin(async move {
            if let Ok(bound) = this.bind(&statements::meta::TRIAL, vec![]) {
                // The availability records the result.
                let _ = this.send(bound, LIMIT).await;
            }
        }));
    }

    /// Sends a statement in a task of its own, which completes even if the caller is dropped.
    async fn send(&self, bound: Bound, limit: Duration) -> Result<Vec<Row>, StoreError> {
        let Some(database) = self.0.database.clone() else { return Err(StoreError::Off) };
        let host = &self.0.host;
        let begun = host.now();
        let asked = host.query(&database, bound.sql, bound.parameters);
        let (sender, receiver) = oneshot::channel();
        host.spawn(Box::pin(async move {
            // The receiver may be gone.
            let _ = sender.send(asked.await);
        }));
        let answer = timeout(host, limit, receiver).await;
        let answer = match answer {
            Ok(Ok(answer)) => {
                self.0.availability.borrow_mut().answered();
                answer
            }
            Ok(Err(oneshot::Canceled)) => Err(StoreError::Down),
            Err(_) => {
                self.0.availability.borrow_mut().timed_out(host.now());
                Err(StoreError::TimedOut(limit))
            }
        };
        let watch = self.0.watch.borrow().clone();
        if let Some(watch) = watch {
            watch(host.now().saturating_sub(begun), answer.as_ref().err());
        }
        answer
    }

    /// Binds a statement for the dialect of the engine.
    fn bind(&self, statement: &Statement, parameters: Vec<Parameter>) -> Result<Bound, StoreError> {
        let Some(database) = &self.0.database else { return Err(StoreError::Off) };
        statement.bind(Dialect::of(database), parameters).map_err(StoreError::Failed)
    }
}

/// Time in the unit of the database.
pub fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Number as a value of the database.
pub fn integer(number: impl TryInto<i64>) -> Value {
    Value::Integer(number.try_into().unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod tests;
