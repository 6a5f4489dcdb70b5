//! The port's adapter to a host that has WASI and nothing else, such as `wasmtime serve`.
//!
//! Variables come from the environment, by the names that Spin has for them there. There is no database. And no host
//! looks at where requests go, so they are held here to the origins that the settings name.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{LocalBoxFuture, ready};
use wasip3::cli::environment::get_environment;

use super::Wasi;
use crate::platform::log::LogRecord;
use crate::platform::{
    AllowedOrigins, Database, Inbound, MemoryBudget, Outbound, Platform, Row, StoreError, TransportError, Value,
};

/// Beginning of the names of variables in the environment.
const PREFIX: &str = "SPIN_VARIABLE_";

/// The variable that names the database, and what it is here, whatever a deployment's settings have for other hosts.
const DATABASE: (&str, &str) = ("database", "none");

/// A host that has WASI and nothing else.
#[derive(Default)]
pub(crate) struct PlainHost {
    wasi: Wasi,
    environment: OnceCell<Vec<(String, String)>>,
    /// Nothing is sent before it is set.
    allowed: OnceCell<AllowedOrigins>,
}

impl PlainHost {
    /// Lets requests go to these origins, and to no other. The first call counts.
    pub(crate) fn allow(&self, origins: AllowedOrigins) {
        let _ = self.allowed.set(origins);
    }
}

impl Platform for PlainHost {
    fn send(&self, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        if self.allowed.get().is_some_and(|allowed| allowed.has(&request.url)) {
            self.wasi.send(request)
        } else {
            Box::pin(ready(Err(TransportError::Denied)))
        }
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        self.wasi.sleep(duration)
    }

    fn now(&self) -> Duration {
        self.wasi.now()
    }

    fn unix_time(&self) -> Duration {
        self.wasi.unix_time()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.wasi.fill_random(bytes);
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.wasi.spawn(task);
    }

    fn variable(&self, name: &'static str) -> LocalBoxFuture<'static, Option<String>> {
        if name == DATABASE.0 {
            return Box::pin(ready(Some(DATABASE.1.to_owned())));
        }
        let environment = self.environment.get_or_init(get_environment);
        let named = format!("{PREFIX}{}", name.to_ascii_uppercase());
        Box::pin(ready(environment.iter().find(|(key, _)| *key == named).map(|(_, value)| value.clone())))
    }

    fn query(&self, _: &Database, _: Rc<str>, _: Vec<Value>) -> LocalBoxFuture<'static, Result<Vec<Row>, StoreError>> {
        Box::pin(ready(Err(StoreError::Off)))
    }

    fn memory(&self) -> &MemoryBudget {
        self.wasi.memory()
    }

    fn log(&self, record: &LogRecord<'_>) {
        self.wasi.log(record);
    }
}
