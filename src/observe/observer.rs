//! Observer of an instance's requests.

use std::rc::Rc;
use std::time::Duration;

use http::Method;

use super::metrics::family::{CLIENTS_LEFT, REQUEST_DURATION, REQUESTS, RESPONSE_BYTES};
use super::metrics::registry::Metrics;
use super::record::{RequestEnd, RequestRecord};
use super::spans;
use crate::platform::Host;
use crate::platform::log::{Level, Log, LogRecord, RequestCourse};
use crate::trace_context::TraceContext;

/// Label of a path that there isn't.
const NO_ROUTE: &str = "other";

/// Observer of an instance's requests.
pub struct Observer {
    host: Host,
    log: Log,
    metrics: Rc<Metrics>,
    logs_prompts: bool,
}

impl Observer {
    /// An observer that writes to `log` and counts in `metrics`; logs prompts only where `logs_prompts`.
    pub fn new(host: &Host, log: &Log, metrics: &Rc<Metrics>, logs_prompts: bool) -> Rc<Self> {
        Rc::new(Self { host: Rc::clone(host), log: Rc::clone(log), metrics: Rc::clone(metrics), logs_prompts })
    }

    /// Host of the instance.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// True where the operator wants prompts in the log.
    pub fn logs_prompts(&self) -> bool {
        self.logs_prompts
    }

    /// Writes the line of a request that has ended.
    pub(super) fn ended(&self, record: &RequestRecord, end: RequestEnd) {
        let total = self.host.now().saturating_sub(record.begun());
        self.count(record, end, total);
        spans::report(&self.host, record, end);
        record.read(|known| {
            let is_quiet = record.method() == Method::OPTIONS || known.route.is_some_and(|route| route.is_quiet);
            let level = match end {
                RequestEnd::Broken => Level::Warn,
                _ if known.status >= 500 => Level::Warn,
                _ if is_quiet && known.status < 400 => Level::Debug,
                _ => Level::Info,
            };
            let timing = known.timing;
            let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let course = RequestCourse {
                trace_id: known.trace.as_ref().map(TraceContext::id),
                route: known.route.map(|route| route.pattern),
                model: known.model.as_deref(),
                space: known.space.as_deref(),
                images_asked: known.asked,
                images_made: known.has_started.then_some(known.made),
                images_failed: known.has_started.then_some(known.failed),
                retries: known.has_started.then_some(known.retries),
                wait_ms: timing.map(|timing| milliseconds(timing.wait)),
                queue_ms: timing.map(|timing| milliseconds(timing.queue)),
                generate_ms: timing.map(|timing| milliseconds(timing.generate)),
                fetch_ms: timing.map(|timing| milliseconds(timing.fetch)),
                total_ms: milliseconds(total),
                bytes_sent: known.bytes,
                client_left: end == RequestEnd::Left,
                broken: (end == RequestEnd::Broken).then_some(true),
                prompt: known.prompt.as_deref(),
            };
            (self.log)(&LogRecord {
                event: Some("request"),
                request_id: Some(record.id()),
                key_id: Some(known.key_id.as_str()).filter(|id| !id.is_empty()),
                method: Some(record.method().as_str()),
                status: Some(known.status).filter(|status| *status > 0),
                course: Some(course),
                ..LogRecord::new(level, "The request has ended.")
            });
        });
    }

    /// Counts a request that has ended.
    fn count(&self, record: &RequestRecord, end: RequestEnd, total: Duration) {
        if !self.metrics.is_on() {
            return;
        }
        record.read(|known| {
            let by_route = ("route", known.route.map_or(NO_ROUTE, |route| route.pattern));
            let status = known.status.to_string();
            self.metrics.add(&REQUESTS, &[by_route, ("status", &status)], 1.0);
            self.metrics.observe(&REQUEST_DURATION, &[by_route], total);
            self.metrics.add(&RESPONSE_BYTES, &[by_route], bytes(known.bytes));
            if end == RequestEnd::Left {
                self.metrics.add(&CLIENTS_LEFT, &[by_route], 1.0);
            }
        });
    }
}

/// Number of bytes, exactly up to 2^53.
fn bytes(number: u64) -> f64 {
    let (high, low) = (u32::try_from(number >> 32).unwrap_or(u32::MAX), number & u64::from(u32::MAX));
    f64::from(high) * 4_294_967_296.0 + f64::from(u32::try_from(low).unwrap_or(u32::MAX))
}
