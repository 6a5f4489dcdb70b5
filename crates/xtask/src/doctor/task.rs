//! An image that is made as a task: database, stream, links.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::Finding;
use super::curl::{Answer, Head, Request, Server, Stream, text};

/// Time within which the first event must come. The server sends it at once.
const FIRST: Duration = Duration::from_secs(5);
/// Time between a task's first and last event below which they came together.
const TOGETHER: Duration = Duration::from_millis(300);
/// Time that a task must have taken for that to be a fault, in seconds.
const LONG: u64 = 2;

/// Course of a stream of events, as it was seen.
#[derive(Debug, Default)]
struct Seen {
    head: Head,
    /// Time of the first event.
    first: Option<Instant>,
    /// Time of the last event.
    last: Option<Instant>,
    /// The task, as the last event has it.
    task: Value,
    /// The time was over.
    is_late: bool,
}

/// Has a small image made as a task and follows it.
pub(super) fn follow(server: &Server, wait: u64) -> Result<Vec<Finding>> {
    let body = r#"{"prompt":"a red circle on white","size":"512x512","async":true}"#.to_owned();
    let path = "/v1/images/generations";
    let answer = server.ask(&Request { method: "POST", path, body: Some(body), ..Request::default() })?;
    let task = answer.json();
    let id = text(&task, "/id");
    if answer.status != 202 || id.is_empty() {
        return Ok(vec![refused(&answer)]);
    }
    let mut findings = vec![Finding::fine("database", "it takes a task"), address(server, &task)];
    let path = format!("/v1/tasks/{id}");
    let begun = now();
    let seen = read(&server.stream(&format!("{path}/events"), wait)?, wait);
    findings.push(streaming(&seen));
    let is_over = |task: &Value| matches!(text(task, "/status"), "succeeded" | "failed" | "cancelled");
    let mut last = seen.task;
    if !is_over(&last) && !seen.is_late {
        let after = begun.elapsed().as_secs();
        findings.push(Finding::fault(
            "limits",
            format!("the stream was cut after {after} s: raise the proxy's time limit (proxy_read_timeout)"),
        ));
    }
    while !is_over(&last) && begun.elapsed() < Duration::from_secs(wait) {
        std::thread::park_timeout(Duration::from_secs(1));
        last = server.ask(&Request { method: "GET", path: &path, ..Request::default() })?.json();
    }
    findings.push(image(server, &last, wait)?);
    server.ask(&Request { method: "DELETE", path: &path, ..Request::default() })?;
    Ok(findings)
}

#[allow(clippy::disallowed_methods, reason = "a program's own stopwatch")]
fn now() -> Instant {
    Instant::now()
}

fn refused(answer: &Answer) -> Finding {
    match text(&answer.json(), "/error/code") {
        "store_unavailable" => Finding::fault(
            "database",
            format!("{} Set the variable database, and see the server's log.", answer.said()),
        ),
        _ => Finding::fault("image", answer.said()),
    }
}

/// The server knows its own address.
fn address(server: &Server, task: &Value) -> Finding {
    let url = text(task, "/poll_url");
    if url.starts_with(&format!("{}/", server.url)) {
        Finding::fine("address", "links lead back here")
    } else {
        let base = url.split("/v1/").next().unwrap_or_default();
        Finding::fault("address", format!("links lead to {base}: set public_url={}", server.url))
    }
}

/// Reads events until the task's last, or until so many seconds are over.
fn read(stream: &Stream, wait: u64) -> Seen {
    let (mut seen, mut in_head, begun) = (Seen::default(), true, now());
    loop {
        let left = Duration::from_secs(wait).saturating_sub(begun.elapsed());
        let time = if seen.first.is_none() { FIRST.min(left) } else { left };
        let line = match stream.line(time) {
            Ok(Some(line)) => line,
            Ok(None) => return seen,
            Err(_) => {
                seen.is_late = true;
                return seen;
            }
        };
        if in_head {
            in_head = Stream::push_to(&line, &mut seen.head);
        } else if let Some(event) = line.strip_prefix("data:").and_then(|data| serde_json::from_str(data).ok()) {
            let event: Value = event;
            seen.last = Some(now());
            seen.first = seen.first.or(seen.last);
            seen.task = event.get("task").cloned().unwrap_or_default();
            if text(&event, "/type") == "task.completed" {
                return seen;
            }
        }
    }
}

/// Events come one by one.
fn streaming(seen: &Seen) -> Finding {
    const ABOUT: &str = "stream";
    const MEND: &str = "switch its buffering off (proxy_buffering off; flush_interval -1)";
    if let Some(coding) = seen.head.get("content-encoding") {
        return Finding::fault(
            ABOUT,
            format!("a proxy compresses events ({coding}), and so holds them back: leave them out"),
        );
    }
    let (Some(first), Some(last)) = (seen.first, seen.last) else {
        return Finding::fault(
            ABOUT,
            format!("no event came in {} s: a proxy holds them back; {MEND}", FIRST.as_secs()),
        );
    };
    let seconds = |name: &str| seen.task.get(name).and_then(Value::as_u64);
    let took = seconds("completed_at").zip(seconds("created_at")).map(|(end, start)| end.saturating_sub(start));
    match took {
        Some(took) if took >= LONG && last.duration_since(first) < TOGETHER => {
            Finding::fault(ABOUT, format!("the events of {took} s came together: a proxy holds them back; {MEND}"))
        }
        Some(took) if took < LONG => {
            Finding::note(ABOUT, "events come; the image was made too soon to see them come singly")
        }
        _ => Finding::fine(ABOUT, "events come one by one"),
    }
}

/// The image is made, and its link leads to it.
fn image(server: &Server, task: &Value, wait: u64) -> Result<Finding> {
    let (url, why) = (text(task, "/images/0/url"), text(task, "/error/message"));
    if url.is_empty() {
        let why = if why.is_empty() { format!("it isn't done after {wait} s") } else { why.to_owned() };
        return Ok(Finding::fault("image", why));
    }
    let answer = match server.ask_without_key(&Request { method: "GET", path: url, ..Request::default() }) {
        Ok(answer) => answer,
        Err(error) => return Ok(Finding::fault("links", format!("the image's link can't be reached: {error}"))),
    };
    let is_image = answer.head.get("content-type").is_some_and(|kind| kind.starts_with("image/"));
    Ok(if answer.status == 200 && is_image {
        Finding::fine("links", "an image was made, and its link leads to it")
    } else {
        Finding::fault("links", format!("the image's link answers {}", answer.said()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_that_come_together_are_told_from_those_that_come_singly() {
        let start = now();
        let seen = |took: u64, apart: u64| Seen {
            first: Some(start),
            last: Some(start + Duration::from_millis(apart)),
            task: json!({"created_at": 100, "completed_at": 100 + took}),
            ..Seen::default()
        };
        for (took, apart, level) in [
            (9, 10, super::super::Level::Fault),
            (9, 8000, super::super::Level::Fine),
            (1, 10, super::super::Level::Note),
        ] {
            assert_eq!(streaming(&seen(took, apart)).level, level, "{took} s, {apart} ms");
        }
        assert_eq!(streaming(&Seen::default()).level, super::super::Level::Fault);
    }

    #[test]
    fn links_are_held_against_the_address_that_was_asked() {
        let server = Server::new("https://a.example", None).unwrap();
        let at = |url: &str| address(&server, &json!({"poll_url": url}));
        assert_eq!(at("https://a.example/v1/tasks/task_1").level, super::super::Level::Fine);
        for other in ["http://a.example/v1/tasks/1", "https://a.example.evil/v1/tasks/1", "http://127.0.0.1:3000/v1/x"]
        {
            assert!(at(other).text.ends_with("set public_url=https://a.example"), "{other}");
        }
    }
}
