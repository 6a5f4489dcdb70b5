//! Records of the log.

use std::rc::Rc;

use serde::Serialize;
use serde_with::skip_serializing_none;

/// A record of the log. It is written as one line of JSON, so that nothing in it can break out of its place.
#[skip_serializing_none]
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LogRecord<'a> {
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
}

/// Severity of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing is wrong here.
    Info,
    /// Something is wrong, and was got over.
    Warn,
    /// Something is wrong.
    Error,
}

/// Sink of records.
pub type Log = Rc<dyn Fn(&LogRecord<'_>)>;

impl<'a> LogRecord<'a> {
    /// A record of no more than a message.
    pub fn new(level: Level, message: &'a str) -> Self {
        Self {
            level,
            event: None,
            request_id: None,
            key_id: None,
            method: None,
            path: None,
            status: None,
            message,
            detail: None,
        }
    }

    /// The record as one line.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
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
}
