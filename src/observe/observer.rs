//! Observer of an instance's requests.

use std::rc::Rc;
use std::time::Duration;

use http::Method;

use super::record::{RequestEnd, RequestRecord};
use crate::platform::Host;
use crate::platform::log::{Level, Log, LogRecord, RequestCourse};

/// Observer of an instance's requests.
pub struct Observer {
    host: Host,
    log: Log,
    logs_prompts: bool,
}

impl Observer {
    /// An observer that writes to `log`; prompts only where `logs_prompts`.
    pub fn new(host: &Host, log: &Log, logs_prompts: bool) -> Rc<Self> {
        Rc::new(Self { host: Rc::clone(host), log: Rc::clone(log), logs_prompts })
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
}
