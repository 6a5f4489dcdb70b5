//! The budget of a generation: what one asks of the host once its instance is warm. docs/performance.md has it.

use std::cell::Cell;

use futures::future::{LocalBoxFuture, join_all};
use z_image_2api::platform::{Inbound, MemoryBudget, Outbound, Platform, Row, StoreError, Value as SqlValue};

use super::*;

/// Calls of a host.
#[derive(Debug, Default)]
struct Calls {
    sends: Cell<u32>,
    sleeps: Cell<u32>,
    spawns: Cell<u32>,
    statements: Cell<u32>,
    variables: Cell<u32>,
    randoms: Cell<u32>,
    clocks: Cell<u32>,
    lines: Cell<u32>,
}

/// A host whose calls are counted.
struct CountingHost {
    host: Host,
    calls: Rc<Calls>,
}

fn count(calls: &Cell<u32>) {
    calls.set(calls.get() + 1);
}

impl Platform for CountingHost {
    fn send(&self, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        count(&self.calls.sends);
        self.host.send(request)
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        // Only one that is waited for costs anything.
        let (sleep, calls) = (self.host.sleep(duration), Rc::clone(&self.calls));
        Box::pin(async move {
            count(&calls.sleeps);
            sleep.await;
        })
    }

    fn now(&self) -> Duration {
        count(&self.calls.clocks);
        self.host.now()
    }

    fn unix_time(&self) -> Duration {
        count(&self.calls.clocks);
        self.host.unix_time()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        count(&self.calls.randoms);
        self.host.fill_random(bytes);
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        count(&self.calls.spawns);
        self.host.spawn(task);
    }

    fn variable(&self, name: &'static str) -> LocalBoxFuture<'static, Option<String>> {
        count(&self.calls.variables);
        self.host.variable(name)
    }

    fn query(
        &self,
        database: &Database,
        sql: Rc<str>,
        parameters: Vec<SqlValue>,
    ) -> LocalBoxFuture<'static, Result<Vec<Row>, StoreError>> {
        count(&self.calls.statements);
        self.host.query(database, sql, parameters)
    }

    fn memory(&self) -> &MemoryBudget {
        self.host.memory()
    }

    fn log(&self, record: &LogRecord<'_>) {
        count(&self.calls.lines);
        self.host.log(record);
    }
}

/// Generations at once: as many as an instance has.
const AT_ONCE: u32 = 16;
const ROUNDS: u32 = 10;

/// Calls for each of many generations, in an instance that has made some before.
fn calls_of_each(fields: &Value) -> [f64; 8] {
    let (world, _) = world(91, Fate::Succeeds);
    world.set_variable("catalog", &format!("[models.m]\nspaces = [{{ space = \"{SPACE}\", slots = 64 }}]"));
    let calls = Rc::new(Calls::default());
    let host: Host = Rc::new(CountingHost { host: world.host(), calls: Rc::clone(&calls) });
    let text = fields.to_string();
    world.run(async move {
        let app = Rc::new(App::load(host).await);
        let ask = || ask_of(Rc::clone(&app), request(Method::POST, "/v1/images/generations", text.clone()));
        let Calls { sends, sleeps, spawns, statements, variables, randoms, clocks, lines } = &*calls;
        let counts = || [sends, sleeps, spawns, statements, variables, randoms, clocks, lines].map(Cell::get);
        let mut before = counts();
        for round in 0..=ROUNDS {
            let replies = join_all((0..AT_ONCE).map(|_| ask())).await;
            assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
            if round == 0 {
                before = counts();
            }
        }
        let after = counts();
        std::array::from_fn(|at| f64::from(after[at] - before[at]) / f64::from(ROUNDS * AT_ONCE))
    })
}

#[test]
fn a_generation_asks_no_more_of_the_host_than_its_budget() {
    // Requests, sleeps, tasks, statements, variables, random numbers, looks at the clock, lines of the log.
    let link = [2.0, 22.0, 8.5, 3.0, 0.0, 8.0, 56.0, 1.0];
    let base64 = [3.0, 24.0, 8.8, 3.0, 0.0, 8.0, 62.0, 1.0];
    for (format, budget) in [("url", link), ("b64_json", base64)] {
        let calls = calls_of_each(&json!({"model": "m", "prompt": "a red fox", "response_format": format}));
        println!("{format}: {calls:?}");
        assert!(calls.iter().zip(budget).all(|(calls, most)| *calls <= most), "{format}: {calls:?} of {budget:?}");
    }
}
