//! The one door to the database: what all instances on all machines know together.
//!
//! [`Store`] runs [`Statement`]s, each a transaction of its own, with a time limit. The first of an instance brings the
//! [`schema`] up to date; [`lease`] holds what one instance at a time may have; [`sweep`] deletes what has expired. The
//! statements themselves stand in [`statements`], one file for each room that has some, so that one test can hold all
//! of them against the rules of both engines.
//!
//! **Where the database fails.** A statement that is refused fails, and nothing else. One that isn't answered in time
//! makes the store [`StoreError::Down`] for a moment: until a trial beside all requests is answered, statements fail at
//! once, so that no generation waits for a database that hangs. The log says so once.

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
use crate::platform::{Database, Outside, Row, StoreError, Value, random_hex, timeout};
use crate::warn_once::{Log, WarnOnce};

/// Time limit of a statement.
const LIMIT: Duration = Duration::from_secs(3);
/// Time limit of an instance's first statement: what a generation waits at most for a database that hangs.
const FIRST_LIMIT: Duration = Duration::from_secs(1);
/// Warning of a database that fails, once for an instance.
const FAILURE: &str = "The database fails. Until it is back, generations go on without it: each instance counts limits \
                       for itself, answers to an Idempotency-Key are not kept, and tasks are refused.";

/// The database of the service, as an instance has it. Clones are the same.
#[derive(Clone)]
pub struct Store(Rc<StoreInner>);

struct StoreInner {
    host: Outside,
    /// `None` where the variable `database` is `none`.
    database: Option<Database>,
    /// Name of this instance among all: 24 hexadecimal digits.
    instance: String,
    availability: RefCell<Availability>,
    opened: Once<Result<Meta, StoreError>>,
    failure: WarnOnce,
}

/// Contents of the database that an instance reads at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Secret that image links are signed with, where the operator has set none: 32 bytes.
    pub link_secret: Rc<[u8]>,
}

impl Store {
    /// The store in `database`, which isn't touched before the first statement.
    pub fn new(host: &Outside, database: Option<Database>, log: &Log) -> Self {
        Self(Rc::new(StoreInner {
            host: Rc::clone(host),
            database,
            instance: random_hex::<12>(host),
            availability: RefCell::default(),
            opened: Once::default(),
            failure: WarnOnce::new(FAILURE, log),
        }))
    }

    /// What everything outside is reached by.
    pub fn host(&self) -> &Outside {
        &self.0.host
    }

    /// Name of this instance among all that share the database.
    pub fn instance(&self) -> &str {
        &self.0.instance
    }

    /// Whether there is a database at all.
    pub fn is_on(&self) -> bool {
        self.0.database.is_some()
    }

    /// Whether a statement would be tried now.
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

    /// Runs `statement` beside the present request. A failure is logged, once.
    pub fn spawn(&self, statement: &'static Statement, parameters: Vec<Parameter>) {
        let this = self.clone();
        self.0.host.spawn(Box::pin(async move {
            // The log has been told.
            let _ = this.query(statement, parameters).await;
        }));
    }

    /// Runs `statement` on a database whose schema may be of another time. Its refusal is no failure yet.
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

    /// Fails where no statement is sent for the moment.
    fn admit(&self) -> Result<(), StoreError> {
        let admission = self.0.availability.borrow_mut().admit(self.0.host.now());
        match admission {
            Gate::Up => return Ok(()),
            Gate::Trial => self.spawn_trial(),
            Gate::Down => {}
        }
        Err(StoreError::Down)
    }

    /// Finds out, beside all requests, whether the database answers again.
    fn spawn_trial(&self) {
        let this = self.clone();
        self.0.host.spawn(Box::pin(async move {
            if let Ok(bound) = this.bind(&statements::meta::TRIAL, vec![]) {
                // What comes of it is known to the availability.
                let _ = this.send(bound, LIMIT).await;
            }
        }));
    }

    /// Sends a statement. It runs in a task of its own: whoever waits for it may go without ending it half-way.
    async fn send(&self, bound: Bound, limit: Duration) -> Result<Vec<Row>, StoreError> {
        let Some(database) = self.0.database.clone() else { return Err(StoreError::Off) };
        let host = &self.0.host;
        let asked = host.query(&database, bound.sql, bound.parameters);
        let (sender, receiver) = oneshot::channel();
        host.spawn(Box::pin(async move {
            // Nobody may wait for it any more.
            let _ = sender.send(asked.await);
        }));
        let answer = timeout(host, limit, receiver).await;
        let mut availability = self.0.availability.borrow_mut();
        match answer {
            Ok(Ok(answer)) => {
                availability.answered();
                answer
            }
            Ok(Err(oneshot::Canceled)) => Err(StoreError::Down),
            Err(_) => {
                availability.timed_out(host.now());
                Err(StoreError::TimedOut(limit))
            }
        }
    }

    /// A statement in the engine's own words.
    fn bind(&self, statement: &Statement, parameters: Vec<Parameter>) -> Result<Bound, StoreError> {
        let Some(database) = &self.0.database else { return Err(StoreError::Off) };
        statement.bind(Dialect::of(database), parameters).map_err(StoreError::Failed)
    }
}

/// A time as the database has it.
pub fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A number as the database has it.
pub fn integer(number: impl TryInto<i64>) -> Value {
    Value::Integer(number.try_into().unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod tests;
