//! Requests with a key that are being answered.
//!
//! The first of a key leads: it is answered, and its answer kept. The store decides which that is, over all instances,
//! and whoever leads has its mark renewed, with one statement for all of an instance. Those that come meanwhile wait
//! for the answer: in the same instance for the one who leads, in another one by looking into the store.

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

/// Time that a request may have waited for another's answer, and still be answered in its place where that is given up.
/// Who has waited longer is asked to come again, so that nobody waits twice as long as a request can take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The requests that are being answered in this instance.
pub struct Flights {
    store: Store,
    ttl: Duration,
    open: RefCell<HashMap<IdempotencyKey, OpenFlight>>,
    /// Keys whose requests the store says are being answered here.
    marked: RefCell<HashSet<IdempotencyKey>>,
    is_renewing: Cell<bool>,
    count: Cell<i64>,
    watch: Rc<Watch>,
}

struct OpenFlight {
    fingerprint: Fingerprint,
    /// Whether it is answered by a stream, which can't be joined.
    streams: bool,
    waiting: Vec<oneshot::Sender<Result<StoredResponse, Error>>>,
}

/// Way on for a request with a key.
pub enum Begun {
    /// By being answered.
    Lead(Flight),
    /// By what was answered before.
    Answered(StoredResponse),
    /// By what will be answered.
    Join(JoinedFlight),
}

/// A request that waits for the answer to the one before it.
pub struct JoinedFlight(oneshot::Receiver<Result<StoredResponse, Error>>);

/// A request that is being answered. Dropped, it is as if it had not come.
pub struct Flight {
    flights: Rc<Flights>,
    mark: Mark,
    /// Whether the store says that it is being answered.
    is_marked: bool,
}

impl Flights {
    /// None yet. Answers are kept for `ttl`.
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

    /// Begins with a request. Returns when it is to be answered, or what it is answered by.
    ///
    /// # Errors
    /// 422 where the key came with another request, 409 where it can't be joined.
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
        // Before the store is asked, so that no other one here asks it too.
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
            // A store that fails now is asked again.
            let _ = record::renew(&self.store, &keys).await;
        }
    }
}

impl JoinedFlight {
    /// The answer to the request before it.
    ///
    /// # Errors
    /// Its error, or 409 where it has been given up or is answered by a stream.
    pub async fn answer(self) -> Result<StoredResponse, Error> {
        self.0.await.unwrap_or_else(|_| Err(Error::idempotency_in_progress()))
    }
}

impl Flight {
    /// Returns `None` once this request is to be answered, or else what it is answered by.
    async fn lead(&mut self) -> Result<Option<StoredResponse>, Error> {
        let flights = Rc::clone(&self.flights);
        let host = flights.store.host();
        let begun = host.now();
        while host.now().saturating_sub(begun) <= PATIENCE {
            // From here on a mark may be there, whether or not this hears of it.
            self.is_marked = true;
            match record::begin(&flights.store, &self.mark).await {
                Ok(true) => {
                    self.renew();
                    return Ok(None);
                }
                Ok(false) => self.is_marked = false,
                // Where the store fails, requests are answered as if they had no key.
                Err(_) => return Ok(None),
            }
            let known = record::look_up(&flights.store, &self.mark.key, &self.mark.fingerprint).await;
            match known {
                Ok(Known::Nothing) => continue,
                Ok(Known::Other) => return Err(Error::idempotency_key_reused()),
                Ok(Known::Answered(answer)) => return Ok(Some(answer)),
                Ok(Known::Running) => {}
                // It is known that another one is at it, and can't be heard what comes of it.
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

    /// Has the store say meanwhile that it is being answered.
    fn renew(&self) {
        let flights = &self.flights;
        flights.marked.borrow_mut().insert(self.mark.key.clone());
        if !flights.is_renewing.replace(true) {
            let flights = Rc::clone(flights);
            self.flights.store.host().spawn(Box::pin(async move { flights.renew().await }));
        }
    }

    /// It is answered by a stream: nobody can join it any more.
    pub fn streams(&self) {
        if let Some(open) = self.flights.open.borrow_mut().get_mut(&self.mark.key) {
            open.streams = true;
            open.waiting.clear();
        }
        record::stream(&self.flights.store, &self.mark);
    }

    /// Whether others wait for its answer in this instance.
    pub fn is_joined(&self) -> bool {
        self.flights.open.borrow().get(&self.mark.key).is_some_and(|open| !open.waiting.is_empty())
    }

    /// Gives the answer to those who wait for it, and first keeps it if it is for good and not too large.
    pub async fn end(mut self, answer: StoredResponse, is_final: bool) {
        if is_final && answer.body.len() <= MAX_BODY {
            let flights = &self.flights;
            // Where the store fails, the answer is given all the same.
            if record::keep(&flights.store, &self.mark, &answer, flights.ttl).await.is_ok() {
                self.is_marked = false;
            }
        }
        self.notify(&Ok(answer));
    }

    fn notify(&self, outcome: &Result<StoredResponse, Error>) {
        let open = self.flights.open.borrow_mut().remove(&self.mark.key);
        for waiting in open.into_iter().flat_map(|open| open.waiting) {
            // Who doesn't wait any more has left.
            let _ = waiting.send(outcome.clone());
        }
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
    fn a_request_waits_for_one_statement_before_it_and_one_behind() {
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
            flight.end(answer(), true).await;
            [led - begun, renewed - led, count() - renewed]
        });
        assert_eq!(counts, [1, 6, 1]);
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
                there.outside().sleep(Duration::from_secs(60)).await;
                let waited = there.database().statements() - before;
                assert!((60 * 2..60 * 5).contains(&waited), "{waited} statements in a minute");
                for flight in led {
                    flight.end(answer(), true).await;
                }
            };
            let (begun, ()) = futures::future::join(futures::future::join_all(waiting), ending).await;
            assert!(begun.iter().all(|begun| matches!(begun, Ok(Begun::Answered(_)))));
        });
    }
}
