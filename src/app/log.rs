//! Log lines: each is JSON, so that nothing in it can break out of its place.

use std::rc::Rc;

use serde::Serialize;

use super::App;
use super::path::{Route, Target};
use crate::error::Error;
use crate::media::route;
use crate::platform::Host;
use crate::warn_once::Log;

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

/// What tells of something that went wrong beside all requests.
pub(super) fn aside(host: &Host) -> Log {
    let host = Rc::clone(host);
    Rc::new(move |message, detail| {
        write(&host, &LogLine { level: "warn", message, detail: Some(detail), ..LogLine::default() });
    })
}

impl App {
    /// Tells, once, what could not be read of the settings.
    pub(super) fn log_problems(&self) {
        if self.told.set(()).is_ok() {
            for problem in &self.settings.problems {
                self.log(&LogLine { level: "warn", message: problem, ..LogLine::default() });
            }
        }
    }

    /// Tells of a request that is answered with an error.
    pub(super) fn log_error(&self, request_id: &str, method: &str, path: &str, error: &Error) {
        let path: String = match Target::of(path).route {
            // A token is a permission, and none of the log's business.
            Route::File(_) => route::PATH.to_owned(),
            _ => path.chars().take(200).collect(),
        };
        self.log(&LogLine {
            level: if error.status.is_server_error() { "error" } else { "info" },
            request_id: Some(request_id),
            method: Some(method),
            path: Some(&path),
            status: Some(error.status.as_u16()),
            message: &error.message,
            detail: error.detail.as_deref(),
        });
    }

    /// Tells of something that went wrong beside a request, which is answered all the same.
    pub(super) fn log_trouble(&self, request_id: &str, message: &str, detail: &str) {
        let (request_id, detail) = (Some(request_id), Some(detail));
        self.log(&LogLine { level: "warn", request_id, message, detail, ..LogLine::default() });
    }

    fn log(&self, line: &LogLine<'_>) {
        write(&self.host, line);
    }
}

fn write(host: &Host, line: &LogLine<'_>) {
    if let Ok(line) = serde_json::to_string(line) {
        host.log(&line);
    }
}
