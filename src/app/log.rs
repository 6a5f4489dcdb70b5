//! Log lines: each is JSON, so that nothing in it can break out of its place.

use std::rc::Rc;

use super::access::Access;
use crate::error::Error;
use crate::http::unread;
use crate::media::link;
use crate::platform::Host;
use crate::platform::log::{Level, Log, LogRecord, LogTime};

/// Length of a path in the log at most, in characters.
const MAX_PATH: usize = 200;

/// Log of the records of that severity and above, each with its time.
pub(super) fn above(least: Level, host: &Host) -> Log {
    let host = Rc::clone(host);
    Rc::new(move |record| {
        if record.level >= least {
            host.log(&LogRecord { time: Some(LogTime(host.unix_time())), ..*record });
        }
    })
}

/// Logs problems of the settings.
pub(super) fn problems(log: &Log, problems: &[String]) {
    for problem in problems {
        log(&LogRecord::new(Level::Warn, problem));
    }
}

/// Logs a request that is answered with an error, or an image of one that could not be made.
pub(super) fn error(log: &Log, request_id: &str, method: &str, path: &str, error: &Error) {
    let level = if error.status.is_server_error() { Level::Error } else { Level::Info };
    log(&LogRecord {
        request_id: Some(request_id),
        method: Some(method),
        path: Some(path),
        status: Some(error.status.as_u16()),
        detail: error.detail.as_deref(),
        ..LogRecord::new(level, &error.message)
    });
}

/// Logs that a client doesn't read the answer to its request.
pub(super) fn unread(log: &Log, request_id: &str, method: &str, path: &str) {
    let message = format!("The client took nothing of the answer for {} s. It is given up.", unread::LIMIT.as_secs());
    let (request_id, method, path) = (Some(request_id), Some(method), Some(path));
    log(&LogRecord { request_id, method, path, ..LogRecord::new(Level::Warn, &message) });
}

/// Logs something that went wrong beside a request, which is answered all the same.
pub(super) fn warning(log: &Log, request_id: &str, message: &str, detail: &str) {
    let (request_id, detail) = (Some(request_id), Some(detail));
    log(&LogRecord { request_id, detail, ..LogRecord::new(Level::Warn, message) });
}

/// A path as the log has it: without the token of a link, which is a permission.
pub(super) fn path(path: &str, access: Option<Access>) -> String {
    match access {
        Some(Access::Link) => link::PATH.to_owned(),
        _ => path.chars().take(MAX_PATH).collect(),
    }
}
