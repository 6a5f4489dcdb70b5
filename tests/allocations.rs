//! The budget of a generation: what it allocates, in an instance that has made some before. docs/performance.md has it.
//!
//! Counted is the component's own work: the simulated host and its Spaces are left out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use allocation_counter::{measure, opt_out};
use bytes::Bytes;
use futures::Stream;
use futures::future::{LocalBoxFuture, join_all};
use http::{Method, Request};
use serde_json::{Value, json};

use z_image_2api::app::App;
use z_image_2api::platform::log::LogRecord;
use z_image_2api::platform::sim::World;
use z_image_2api::platform::sim::space::{Fate, SimSpace};
use z_image_2api::platform::{
    Body, Content, Database, Host, Inbound, MemoryBudget, Outbound, Platform, Row, StoreError, TransportError,
    Value as SqlValue, read_to_end,
};

const KEY: &str = "sk-simulated-key";
const SPACE: &str = "http://127.0.0.1:7860";
/// Generations at once: as many as an instance has.
const AT_ONCE: u32 = 16;
const ROUNDS: u32 = 10;

/// Allocations of the component.
#[derive(Debug, Default)]
struct Allocations {
    count: Cell<u64>,
    bytes: Cell<u64>,
}

/// Work of the component, whose allocations are counted.
struct Counted<F> {
    work: Pin<Box<F>>,
    allocations: Rc<Allocations>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut outcome = Poll::Pending;
        let info = measure(|| outcome = self.work.as_mut().poll(context));
        self.allocations.count.set(self.allocations.count.get() + info.count_total);
        self.allocations.bytes.set(self.allocations.bytes.get() + info.bytes_total);
        outcome
    }
}

/// Work of the host within the component's, whose allocations aren't counted.
struct Hosted<T>(T);

impl<T: Future + Unpin> Future for Hosted<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T::Output> {
        uncounted(|| Pin::new(&mut self.0).poll(context))
    }
}

impl<T: Stream + Unpin> Stream for Hosted<T> {
    type Item = T::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T::Item>> {
        uncounted(|| Pin::new(&mut self.0).poll_next(context))
    }
}

/// A host whose own allocations aren't counted.
struct UncountedHost {
    host: Host,
    allocations: Rc<Allocations>,
}

/// Outcome of what the host does at once, whose allocations aren't counted.
fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    let mut outcome = None;
    opt_out(|| outcome = Some(work()));
    outcome.unwrap()
}

fn hosted<T: 'static>(work: impl FnOnce() -> LocalBoxFuture<'static, T>) -> LocalBoxFuture<'static, T> {
    Box::pin(Hosted(uncounted(work)))
}

impl Platform for UncountedHost {
    fn send(&self, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        let sent = hosted(|| self.host.send(request));
        Box::pin(async move {
            let inbound = sent.await?;
            Ok(Inbound { body: Box::pin(Hosted(inbound.body)), ..inbound })
        })
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        hosted(|| self.host.sleep(duration))
    }

    fn now(&self) -> Duration {
        self.host.now()
    }

    fn unix_time(&self) -> Duration {
        self.host.unix_time()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        uncounted(|| self.host.fill_random(bytes));
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        let allocations = Rc::clone(&self.allocations);
        uncounted(|| self.host.spawn(Box::pin(Counted { work: Box::pin(task), allocations })));
    }

    fn variable(&self, name: &'static str) -> LocalBoxFuture<'static, Option<String>> {
        hosted(|| self.host.variable(name))
    }

    fn query(
        &self,
        database: &Database,
        sql: Rc<str>,
        parameters: Vec<SqlValue>,
    ) -> LocalBoxFuture<'static, Result<Vec<Row>, StoreError>> {
        hosted(|| self.host.query(database, sql, parameters))
    }

    fn memory(&self) -> &MemoryBudget {
        self.host.memory()
    }

    fn log(&self, record: &LogRecord<'_>) {
        uncounted(|| self.host.log(record));
    }
}

/// Allocations, and their bytes, for each of many generations.
fn allocations_of_each(fields: &Value) -> [u64; 2] {
    let world = World::new(92);
    world.put_server(SPACE, Rc::new(SimSpace::new(|_, _| Fate::Succeeds)));
    world.set_variable("api_keys", KEY);
    world.set_variable("catalog", &format!("[models.m]\nspaces = [{{ space = \"{SPACE}\", slots = 64 }}]"));
    world.set_variable("link_secret", "a-link-secret-of-some-length");
    let allocations = Rc::new(Allocations::default());
    let host: Host = Rc::new(UncountedHost { host: world.host(), allocations: Rc::clone(&allocations) });
    let text = Bytes::from(fields.to_string());
    world.run(async move {
        let app = Rc::new(App::load(host).await);
        let ask = || {
            let body: Body = Box::pin(futures::stream::iter([Ok(text.clone())]));
            let request = Request::builder()
                .method(Method::POST)
                .uri("/v1/images/generations")
                .header("host", "img.example")
                .header("authorization", format!("Bearer {KEY}"))
                .body(body)
                .unwrap();
            let app = Rc::clone(&app);
            let work = async move {
                let answer = app.handle(request).await;
                assert!(answer.status().is_success(), "{}", answer.status());
                if let Content::Stream(body) = answer.into_body() {
                    read_to_end(body, usize::MAX).await.unwrap();
                }
            };
            Counted { work: Box::pin(work), allocations: Rc::clone(&allocations) }
        };
        let mut before = [0, 0];
        for round in 0..=ROUNDS {
            join_all((0..AT_ONCE).map(|_| ask())).await;
            if round == 0 {
                before = [allocations.count.get(), allocations.bytes.get()];
            }
        }
        let each = |after: u64, before: u64| (after - before) / u64::from(ROUNDS * AT_ONCE);
        [each(allocations.count.get(), before[0]), each(allocations.bytes.get(), before[1])]
    })
}

#[test]
fn a_generation_allocates_no_more_than_its_budget() {
    // Allocations, and their bytes.
    for (format, budget) in [("url", [430, 90_000]), ("b64_json", [500, 110_000])] {
        let used = allocations_of_each(&json!({"model": "m", "prompt": "a red fox", "response_format": format}));
        println!("{format}: {used:?}");
        assert!(used.iter().zip(budget).all(|(used, most)| *used <= most), "{format}: {used:?} of {budget:?}");
    }
}
