//! Requests with a key in flight.
//!
//! The first request of a key leads: it runs, and its response is stored. The database decides over all instances which
//! one leads. The marks of leaders are leases, which an instance renews with one statement. Later requests wait for the
//! response: on the leader's instance through a channel, on others by polling the database.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;

use super::key::{Fingerprint, IdempotencyKey};
use super::record::{self, KeyState, Known, Mark};
use super::stored_response::{MAX_BODY, StoredResponse};
use super::watch::Watch;
use crate::error::Error;
use crate::store::Store;
use crate::store::lease::RENEWAL;

/// Time for which a waiting request may still take over from an abandoned leader. After that it gets a 409, so that no
/// request takes twice the time limit.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests in flight on this instance.
pub struct Flights {
    store: Store,
    ttl: Duration,
    open: RefCell<HashMap<IdempotencyKey, OpenFlight>>,
    /// Keys with a mark of this instance in the database.
    marked: RefCell<HashSet<IdempotencyKey>>,
    is_renewing: Cell<bool>,
    count: Cell<i64>,
    watch: Rc<Watch>,
}

struct OpenFlight {
    fingerprint: Fingerprint,
    /// Marks a streaming response, which can't be joined.
    streams: bool,
    waiting: Vec<oneshot::Sender<Result<StoredResponse, Error>>>,
}

/// Role of a request with a key.
pub enum Begun {
    /// It leads: it is to be run.
    Lead(Flight),
    /// It gets the stored response.
    Answered(StoredResponse),
    /// It joins a request in flight.
    Join(JoinedFlight),
}

/// A request that waits for the response to the leader.
pub struct JoinedFlight(oneshot::Receiver<Result<StoredResponse, Error>>);

/// A leading request. Dropped before its end, its key becomes free again.
pub struct Flight {
    flights: Rc<Flights>,
    mark: Mark,
    /// Set while a mark may be in the database.
    is_marked: bool,
}

impl Flights {
    /// No flights yet. Responses are stored for `ttl`.
    pub fn new(store: &Store, ttl: Duration) -> Rc<Self> {
        Rc::new(Self {
            store: store.clone(),
            ttl,
            open: RefCell::default(),
            marked: RefCell::default(),
            is_renewing: Cell::default(),
            count: Cell::default(),
            watch: Watch::new(store),
        })
    }

    /// Determines the role of a request. Waits while another instance leads.
    ///
    /// # Errors
    /// 422 for a key of another request, 409 for a leader that can't be joined.
    pub async fn begin(self: &Rc<Self>, key: IdempotencyKey, fingerprint: Fingerprint) -> Result<Begun, Error> {
        if let Some(open) = self.open.borrow_mut().get_mut(&key) {
            if open.fingerprint != fingerprint {
                return Err(Error::idempotency_key_reused());
            }
            if open.streams {
                return Err(Error::idempotency_in_progress());
            }
            let (sender, receiver) = oneshot::channel();
            open.waiting.push(sender);
            return Ok(Begun::Join(JoinedFlight(receiver)));
        }
        // Before the statement, so that no other request here sends it too.
        let open = OpenFlight { fingerprint: fingerprint.clone(), streams: false, waiting: Vec::new() };
        self.open.borrow_mut().insert(key.clone(), open);
        self.count.set(self.count.get() + 1);
        let mark = Mark { key, fingerprint, number: self.count.get() };
        let mut flight = Flight { flights: Rc::clone(self), mark, is_marked: false };
        match flight.lead().await {
            Ok(None) => Ok(Begun::Lead(flight)),
            Ok(Some(answer)) => {
                flight.notify(&Ok(answer.clone()));
                Ok(Begun::Answered(answer))
            }
            Err(error) => {
                flight.notify(&Err(error.clone()));
                Err(error)
            }
        }
    }

    /// Renews all marks until there is none.
    async fn renew(self: Rc<Self>) {
        loop {
            self.store.host().sleep(RENEWAL).await;
            let keys: Vec<IdempotencyKey> = self.marked.borrow().iter().cloned().collect();
            if keys.is_empty() {
                self.is_renewing.set(false);
                return;
            }
            // Where the store fails, the next renewal tries again.
            let _ = record::renew(&self.store, &keys).await;
        }
    }
}

impl JoinedFlight {
    /// Waits for the response to the leader.
    ///
    /// # Errors
    /// Error of the leader, or 409 where it was abandoned or streams its response.
    pub async fn answer(self) -> Result<StoredResponse, Error> {
        self.0.await.unwrap_or_else(|_| Err(Error::idempotency_in_progress()))
    }
}

impl Flight {
    /// Tries to lead. Returns none once this request leads, or the stored response.
    async fn lead(&mut self) -> Result<Option<StoredResponse>, Error> {
        let flights = Rc::clone(&self.flights);
        let host = flights.store.host();
        let begun = host.now();
        while host.now().saturating_sub(begun) <= PATIENCE {
            // From here on a mark may be stored, even if the statement fails.
            self.is_marked = true;
            match record::begin(&flights.store, &self.mark).await {
                Ok(true) => {
                    self.renew();
                    return Ok(None);
                }
                Ok(false) => self.is_marked = false,
                // Where the store fails, requests run as if they had no key.
                Err(_) => return Ok(None),
            }
            let known = record::look_up(&flights.store, &self.mark.key, &self.mark.fingerprint).await;
            match known {
                Ok(Known::Nothing) => continue,
                Ok(Known::Other) => return Err(Error::idempotency_key_reused()),
                Ok(Known::Answered(answer)) => return Ok(Some(answer)),
                Ok(Known::Running) => {}
                // Another request leads, and its response is out of reach.
                Ok(Known::Streaming) | Err(_) => return Err(Error::idempotency_in_progress()),
            }
            match flights.watch.end(&self.mark.key).await {
                Ok(Some(KeyState::Streaming)) | Err(_) => return Err(Error::idempotency_in_progress()),
                Ok(Some(KeyState::Answered)) => {
                    let known = record::look_up(&flights.store, &self.mark.key, &self.mark.fingerprint).await;
                    if let Ok(Known::Answered(answer)) = known {
                        return Ok(Some(answer));
                    }
                }
                Ok(_) => {}
            }
        }
        Err(Error::idempotency_in_progress())
    }

    /// Renews the mark in the background.
    fn renew(&self) {
        let flights = &self.flights;
        flights.marked.borrow_mut().insert(self.mark.key.clone());
        if !flights.is_renewing.replace(true) {
            let flights = Rc::clone(flights);
            self.flights.store.host().spawn(Box::pin(async move { flights.renew().await }));
        }
    }

    /// Notes that the response is a stream, which can't be joined.
    pub fn streams(&self) {
        if let Some(open) = self.flights.open.borrow_mut().get_mut(&self.mark.key) {
            open.streams = true;
            open.waiting.clear();
        }
        record::stream(&self.flights.store, &self.mark);
    }

    /// True if requests on this instance wait for its response.
    pub fn is_joined(&self) -> bool {
        self.flights.open.borrow().get(&self.mark.key).is_some_and(|open| !open.waiting.is_empty())
    }

    /// Ends the flight: passes the response to waiting requests, and stores it beside them if it is final and not too
    /// large. Requests that arrive meanwhile join it, or find in the store that it is being answered.
    pub fn end(mut self, answer: StoredResponse, is_final: bool) {
        let outcome = Ok(answer.clone());
        if !is_final || answer.body.len() > MAX_BODY {
            return self.notify(&outcome);
        }
        let waiting = self.flights.open.borrow_mut().get_mut(&self.mark.key).map(|open| {
            open.streams = false;
            std::mem::take(&mut open.waiting)
        });
        send(waiting.unwrap_or_default(), &outcome);
        let host = Rc::clone(self.flights.store.host());
        host.spawn(Box::pin(async move {
            let flights = Rc::clone(&self.flights);
            // A failure of the store doesn't fail the response.
            if record::keep(&flights.store, &self.mark, &answer, flights.ttl).await.is_ok() {
                self.is_marked = false;
            }
            self.notify(&outcome);
        }));
    }

    fn notify(&self, outcome: &Result<StoredResponse, Error>) {
        let open = self.flights.open.borrow_mut().remove(&self.mark.key);
        send(open.map(|open| open.waiting).unwrap_or_default(), outcome);
    }
}

/// Passes an outcome to waiting requests.
fn send(waiting: Vec<oneshot::Sender<Result<StoredResponse, Error>>>, outcome: &Result<StoredResponse, Error>) {
    for waiting in waiting {
        // The receiver may be gone.
        let _ = waiting.send(outcome.clone());
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let open = self.flights.open.borrow_mut().remove(&self.mark.key);
        drop(open);
        self.flights.marked.borrow_mut().remove(&self.mark.key);
        if self.is_marked {
            record::forget(&self.flights.store, &self.mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;
    use crate::idempotency::key::HEADER;
    use crate::platform::sim::World;
    use crate::store::tests::store;

    fn key() -> IdempotencyKey {
        let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_static("k"))]);
        IdempotencyKey::of(&headers, "me", "edits").unwrap().unwrap()
    }

    fn answer() -> StoredResponse {
        StoredResponse::new(StatusCode::OK, &HeaderMap::new(), bytes::Bytes::from_static(b"{}"))
    }

    #[test]
    fn a_request_waits_for_one_statement() {
        let world = World::new(1);
        let store = store(&world);
        let flights = Flights::new(&store, Duration::from_secs(60));
        let there = world.clone();
        let counts = world.run(async move {
            store.meta().await.unwrap();
            let count = || there.database().statements();
            let begun = count();
            let Ok(Begun::Lead(flight)) = flights.begin(key(), Fingerprint::kept("f")).await else { panic!() };
            let led = count();
            store.host().sleep(Duration::from_secs(20)).await;
            let renewed = count();
            flight.end(answer(), true);
            let given = count();
            store.host().sleep(Duration::from_secs(1)).await;
            [led - begun, renewed - led, given - renewed, count() - given]
        });
        assert_eq!(counts, [1, 6, 0, 1]);
    }

    #[test]
    fn requests_of_an_instance_that_wait_for_another_ask_together() {
        let world = World::new(1);
        let (here, elsewhere) = (store(&world), store(&world));
        let flights = Flights::new(&elsewhere, Duration::from_secs(60));
        let others = Flights::new(&here, Duration::from_secs(60));
        let there = world.clone();
        world.run(async move {
            let keys = ["a", "b", "c", "d"].map(|text| {
                let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_static(text))]);
                IdempotencyKey::of(&headers, "me", "edits").unwrap().unwrap()
            });
            let mut led = Vec::new();
            for key in &keys {
                let Ok(Begun::Lead(flight)) = flights.begin(key.clone(), Fingerprint::kept("f")).await else {
                    panic!()
                };
                led.push(flight);
            }
            let before = there.database().statements();
            let waiting = keys.iter().map(|key| others.begin(key.clone(), Fingerprint::kept("f")));
            let ending = async {
                there.host().sleep(Duration::from_secs(60)).await;
                let waited = there.database().statements() - before;
                assert!((60 * 2..60 * 5).contains(&waited), "{waited} statements in a minute");
                for flight in led {
                    flight.end(answer(), true);
                }
            };
            let (begun, ()) = futures::future::join(futures::future::join_all(waiting), ending).await;
            assert!(begun.iter().all(|begun| matches!(begun, Ok(Begun::Answered(_)))));
        });
    }
}
