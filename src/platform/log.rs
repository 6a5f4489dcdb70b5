//! Records of the log.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_with::skip_serializing_none;
use time::OffsetDateTime;

/// Room for a line of usual length, in bytes.
const LINE: usize = 512;

/// A record of the log. It is written as one line of JSON, so that nothing in it can break out of its place.
#[skip_serializing_none]
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LogRecord<'a> {
    /// Time.
    pub time: Option<LogTime>,
    /// Severity.
    pub level: Level,
    /// Name of what happened, for machines.
    pub event: Option<&'static str>,
    /// Request that it belongs to.
    pub request_id: Option<&'a str>,
    /// API key of that request, by its identity.
    pub key_id: Option<&'a str>,
    /// Method of that request.
    pub method: Option<&'a str>,
    /// Path of that request.
    pub path: Option<&'a str>,
    /// Status of the answer to it.
    pub status: Option<u16>,
    /// Text for people.
    pub message: &'a str,
    /// Cause, in more detail than the message has.
    pub detail: Option<&'a str>,
    /// Course of that request, where it has ended.
    #[serde(flatten)]
    pub course: Option<RequestCourse<'a>>,
}

/// Course of a request, from its beginning to its end. Times are in milliseconds.
#[skip_serializing_none]
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RequestCourse<'a> {
    /// Trace that it belongs to.
    pub trace_id: Option<&'a str>,
    /// Pattern of the route; none for a path that there isn't.
    pub route: Option<&'static str>,
    /// Id of the model.
    pub model: Option<&'a str>,
    /// Name of the Space that made the last image, or failed to.
    pub space: Option<&'a str>,
    /// Number of images that were asked for.
    pub images_asked: Option<u32>,
    /// Number of those that were made.
    pub images_made: Option<u32>,
    /// Number of those that could not be made.
    pub images_failed: Option<u32>,
    /// Number of times that an image was given to another Space, or to the same again.
    pub retries: Option<u32>,
    /// Wait of the last image for a slot, tries before included.
    pub wait_ms: Option<u64>,
    /// Time of the last image in its Space's queue.
    pub queue_ms: Option<u64>,
    /// Time of the last image in its Space's function.
    pub generate_ms: Option<u64>,
    /// Time until the last image was here.
    pub fetch_ms: Option<u64>,
    /// Time from the request to the end of the answer.
    pub total_ms: u64,
    /// Bytes of the answer's body that were taken.
    pub bytes_sent: u64,
    /// Marks a client that left before the end.
    pub client_left: bool,
    /// Marks an answer that broke off by a fault on this side.
    pub broken: Option<bool>,
    /// Prompt, where the operator wants it.
    pub prompt: Option<&'a str>,
}

/// Severity of a record, the least severe first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Of interest while something is looked for.
    Debug,
    /// Nothing is wrong here.
    #[default]
    Info,
    /// Something is wrong, and was got over.
    Warn,
    /// Something is wrong.
    Error,
}

/// Time since the Unix epoch, written as RFC 3339 has it, in UTC and to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTime(pub Duration);

impl fmt::Display for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0.as_secs()).unwrap_or_default();
        let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
        let (hour, minute, second) = time.to_hms();
        let millis = self.0.subsec_millis();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl Serialize for LogTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Sink of records.
pub type Log = Rc<dyn Fn(&LogRecord<'_>)>;

impl<'a> LogRecord<'a> {
    /// A record of no more than a message.
    pub fn new(level: Level, message: &'a str) -> Self {
        Self {
            time: None,
            level,
            event: None,
            request_id: None,
            key_id: None,
            method: None,
            path: None,
            status: None,
            message,
            detail: None,
            course: None,
        }
    }

    /// The record as one line.
    pub fn to_line(&self) -> String {
        let mut line = Vec::with_capacity(LINE);
        // What is written is UTF-8, and has no map whose keys are no texts.
        let written = serde_json::to_writer(&mut line, self).is_ok();
        String::from_utf8(line).ok().filter(|_| written).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_without_what_it_does_not_have() {
        let record = LogRecord { status: Some(502), detail: Some("a\nb"), ..LogRecord::new(Level::Warn, "It broke.") };
        assert_eq!(record.to_line(), r#"{"level":"warn","status":502,"message":"It broke.","detail":"a\nb"}"#);
    }

    #[test]
    fn a_request_that_has_ended_is_one_line_of_what_is_known_of_it() {
        let time = LogTime(Duration::from_millis(1_709_251_199_007));
        let course = RequestCourse { route: Some("/v1/images"), bytes_sent: 7, ..RequestCourse::default() };
        let record = LogRecord { time: Some(time), course: Some(course), ..LogRecord::new(Level::Debug, "Ended.") };
        let line = r#"{"time":"2024-02-29T23:59:59.007Z","level":"debug","message":"Ended.","route":"/v1/images","#;
        assert_eq!(record.to_line(), format!("{line}\"total_ms\":0,\"bytes_sent\":7,\"client_left\":false}}"));
    }

    #[test]
    fn levels_are_in_order() {
        assert!(Level::Debug < Level::Info && Level::Info < Level::Warn && Level::Warn < Level::Error);
    }
}
