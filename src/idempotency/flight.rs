//! Requests with a key that are being answered.
//!
//! The first of a key leads: it is answered, and its answer kept. Those that come meanwhile to the same instance wait for it. Between
//! instances there is the mark in the store alone, with a lease. As the store has no comparing and setting in one, two
//! that come in the same moment to two instances can both lead.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::answer::{Answer, MAX_BODY};
use super::key::{Fingerprint, Key};
use super::record::{self, Known};
use crate::error::Error;
use crate::platform::{Outside, random_hex};
use crate::trouble::{Log, Trouble};

/// For so long a mark counts. An instance that has ended renews it no more.
const LEASE: Duration = Duration::from_secs(30);
/// After so long it is renewed.
const RENEWAL: Duration = Duration::from_secs(10);

/// The requests that are being answered in this instance.
pub struct Flights {
    outside: Outside,
    ttl: Duration,
    /// What marks are this instance's.
    instance: String,
    open: RefCell<HashMap<Key, Open>>,
    trouble: Trouble,
}

struct Open {
    fingerprint: Fingerprint,
    /// Whether it is answered by a stream, which can't be joined.
    streams: bool,
    waiting: Vec<oneshot::Sender<Result<Answer, Error>>>,
}

/// How a request with a key goes on.
pub enum Begun {
    /// By being answered.
    Lead(Flight),
    /// By what was answered before.
    Answered(Answer),
    /// By what will be answered.
    Join(Joined),
}

/// A request that waits for the answer to the one before it.
pub struct Joined(oneshot::Receiver<Result<Answer, Error>>);

/// A request that is being answered. Dropped, it is as if it had not come.
pub struct Flight {
    flights: Rc<Flights>,
    key: Key,
    fingerprint: Fingerprint,
    /// Since when the store says that it is being answered, in the platform's monotonic time; `None` where it doesn't say so.
    marked: Option<Duration>,
}

impl Flights {
    /// None yet. Answers are kept for `ttl`.
    pub fn new(outside: &Outside, ttl: Duration, log: &Log) -> Rc<Self> {
        Rc::new(Self {
            outside: Rc::clone(outside),
            ttl,
            instance: random_hex::<8>(outside),
            open: RefCell::default(),
            trouble: Trouble::new("Requests with an Idempotency-Key are not kept.", log),
        })
    }

    /// Begins with a request.
    ///
    /// # Errors
    /// 422 where the key came with another request, 409 where it can't be joined.
    pub async fn begin(self: &Rc<Self>, key: Key, fingerprint: Fingerprint) -> Result<Begun, Error> {
        if let Some(open) = self.open.borrow_mut().get_mut(&key) {
            if open.fingerprint != fingerprint {
                return Err(Error::idempotency_key_reused());
            }
            if open.streams {
                return Err(Error::idempotency_in_progress());
            }
            let (tell, told) = oneshot::channel();
            open.waiting.push(tell);
            return Ok(Begun::Join(Joined(told)));
        }
        // Before the store is asked, so that no other one here asks it too.
        let open = Open { fingerprint: fingerprint.clone(), streams: false, waiting: Vec::new() };
        self.open.borrow_mut().insert(key.clone(), open);
        let mut flight = Flight { flights: Rc::clone(self), key, fingerprint, marked: None };
        let error = match record::look_up(&self.outside, &flight.key, &flight.fingerprint).await {
            Ok(Known::Answered(answer)) => {
                flight.tell(&Ok(answer.clone()));
                return Ok(Begun::Answered(answer));
            }
            Ok(Known::Other) => Error::idempotency_key_reused(),
            // What this instance has marked and no longer knows has been given up.
            Ok(Known::Running(instance)) if instance != self.instance => Error::idempotency_in_progress(),
            Ok(Known::Nothing | Known::Running(_)) => {
                flight.mark().await;
                return Ok(Begun::Lead(flight));
            }
            Err(error) => {
                self.trouble.tell(&error);
                return Ok(Begun::Lead(flight));
            }
        };
        flight.tell(&Err(error.clone()));
        Err(error)
    }
}

impl Joined {
    /// The answer to the request before it.
    ///
    /// # Errors
    /// Its error, or 409 where it has been given up or is answered by a stream.
    pub async fn answer(self) -> Result<Answer, Error> {
        self.0.await.unwrap_or_else(|_| Err(Error::idempotency_in_progress()))
    }
}

impl Flight {
    /// Runs the work for it, and has the store say meanwhile that it is being answered.
    pub async fn renewing<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let sleep = self.flights.outside.sleep(RENEWAL);
            match select(work.as_mut(), sleep).await {
                Either::Left((done, _)) => return done,
                // Not beside the work: a mark must not be written behind the answer.
                Either::Right(((), _)) => self.renew().await,
            }
        }
    }

    /// Says so again where it is due.
    pub async fn renew(&mut self) {
        let now = self.flights.outside.now();
        if self.marked.is_some_and(|marked| now.saturating_sub(marked) >= RENEWAL) {
            self.mark().await;
        }
    }

    /// It is answered by a stream: nobody can join it any more.
    pub fn streams(&self) {
        if let Some(open) = self.flights.open.borrow_mut().get_mut(&self.key) {
            open.streams = true;
            open.waiting.clear();
        }
    }

    /// Whether others wait for its answer.
    pub fn is_joined(&self) -> bool {
        self.flights.open.borrow().get(&self.key).is_some_and(|open| !open.waiting.is_empty())
    }

    /// Gives the answer to those who wait for it, and keeps it if it is for good and not too large.
    pub async fn end(mut self, answer: Answer, is_final: bool) {
        if is_final && answer.body.len() <= MAX_BODY {
            let Self { flights, key, fingerprint, .. } = &self;
            match record::keep(&flights.outside, key, fingerprint, &answer, flights.ttl).await {
                Ok(()) => self.marked = None,
                Err(error) => flights.trouble.tell(&error),
            }
        }
        self.tell(&Ok(answer));
    }

    fn tell(&self, outcome: &Result<Answer, Error>) {
        let open = self.flights.open.borrow_mut().remove(&self.key);
        for waiting in open.into_iter().flat_map(|open| open.waiting) {
            // Who doesn't wait any more has left.
            let _ = waiting.send(outcome.clone());
        }
    }

    async fn mark(&mut self) {
        let Self { flights, key, fingerprint, .. } = &*self;
        match record::mark(&flights.outside, key, fingerprint, &flights.instance, LEASE).await {
            Ok(()) => self.marked = Some(flights.outside.now()),
            Err(error) => flights.trouble.tell(&error),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let open = self.flights.open.borrow_mut().remove(&self.key);
        drop(open);
        if self.marked.is_some() {
            let (flights, key) = (Rc::clone(&self.flights), self.key.clone());
            self.flights.outside.spawn(Box::pin(async move {
                // Unless another one leads by now.
                if !flights.open.borrow().contains_key(&key)
                    && let Err(error) = record::forget(&flights.outside, &key).await
                {
                    flights.trouble.tell(&error);
                }
            }));
        }
    }
}
