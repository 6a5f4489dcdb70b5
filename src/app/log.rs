//! Log lines: each is JSON, so that nothing in it can break out of its place.

use std::rc::Rc;

use serde::Serialize;

use super::access::Access;
use crate::error::Error;
use crate::media::link;
use crate::platform::Host;
use crate::platform::log::{Level, Log, LogRecord};

/// Length of a path in the log at most, in characters.
const MAX_PATH: usize = 200;

#[derive(Default, Serialize)]
struct LogLine<'a> {
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// Log of what goes wrong beside all requests.
pub(super) fn aside(host: &Host) -> Log {
    let host = Rc::clone(host);
    Rc::new(move |record| host.log(record))
}

/// Logs problems of the settings.
pub(super) fn problems(host: &Host, problems: &[String]) {
    for problem in problems {
        write(host, &LogLine { level: "warn", message: problem, ..LogLine::default() });
    }
}

/// Logs a request that is answered with an error, or an image of one that could not be made.
pub(super) fn error(host: &Host, request_id: &str, method: &str, path: &str, error: &Error) {
    let line = LogLine {
        level: if error.status.is_server_error() { "error" } else { "info" },
        request_id: Some(request_id),
        method: Some(method),
        path: Some(path),
        status: Some(error.status.as_u16()),
        message: &error.message,
        detail: error.detail.as_deref(),
    };
    write(host, &line);
}

/// Logs something that went wrong beside a request, which is answered all the same.
pub(super) fn warning(host: &Host, request_id: &str, message: &str, detail: &str) {
    let (request_id, detail) = (Some(request_id), Some(detail));
    write(host, &LogLine { level: "warn", request_id, message, detail, ..LogLine::default() });
}

/// A path as the log has it: without the token of a link, which is a permission.
pub(super) fn path(path: &str, access: Option<Access>) -> String {
    match access {
        Some(Access::Link) => route::PATH.to_owned(),
        _ => path.chars().take(MAX_PATH).collect(),
    }
}

fn write(host: &Host, line: &LogLine<'_>) {
    if let Ok(line) = serde_json::to_string(line) {
        host.log(&line);
    }
}
