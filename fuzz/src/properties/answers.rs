//! Texts of Spaces and clients in what goes out: answers, events, log lines, Markdown.

use futures::executor::block_on;
use serde_json::{Value, json};
use z_image_2api::error::Error;
use z_image_2api::gradio::failure::{Failure, plain};
use z_image_2api::gradio::sse::Decoder;
use z_image_2api::http::sse::{event, event_with_id};
use z_image_2api::openai::conversation::wording::{self, Language};
use z_image_2api::platform::log::{Level, LogRecord};
use z_image_2api::platform::read_to_end;

use super::{check_error, check_plain};

/// A text, whatever is in it, stays in its place: one log line, one event, one string, no Markdown.
pub fn answers(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    check_plain(&plain(text));
    for failure in [
        Failure::of_job(Some(text.to_owned()), Some(text), true),
        Failure::of_job(Some(text.to_owned()), None, false),
        Failure::QueueFull { detail: plain(text) },
        Failure::Queue { message: plain(text) },
    ] {
        let error = Error::from(failure);
        check_error(&error);
        let line = LogRecord { detail: error.detail.as_deref(), ..LogRecord::new(Level::Warn, &error.message) };
        check_line(&line.to_line());
    }
    let record = LogRecord {
        request_id: Some(text),
        method: Some(text),
        path: Some(text),
        detail: Some(text),
        ..LogRecord::new(Level::Error, text)
    };
    let line = record.to_line();
    check_line(&line);
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((read["message"].as_str(), read["path"].as_str()), (Some(text), Some(text)));

    let data = json!({"text": text});
    for event in [event(None, &data), event(Some("x"), &data), event_with_id(7, "x", &data)] {
        let mut decoder = Decoder::new(1 << 20);
        decoder.feed(&block_on(read_to_end(event.into_stream(), 1 << 20)).unwrap());
        let read = decoder.next_event().unwrap().expect("one event");
        assert_eq!(serde_json::from_slice::<Value>(&read).unwrap(), data);
        assert_eq!(decoder.next_event(), Ok(None));
    }

    let alternative = wording::alternative(text);
    let signs = ['[', ']', '(', ')', '!', '<', '>', '`', '\\', '*', '_', '#', '|'];
    assert!(
        !alternative.contains(signs) && alternative.chars().count() <= 80 && !alternative.contains(char::is_control)
    );
    for language in [Language::English, Language::Chinese] {
        let empty = language.failure(0, 1, "");
        let said = language.failure(0, 1, text);
        let why = said.strip_prefix(&empty).expect("the text comes behind");
        assert!(!why.contains(char::is_control));
        let mut chars = why.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => assert!(chars.next().is_some(), "{why}"),
                c => assert!(!signs.contains(&c), "{c} stands for itself in {why}"),
            }
        }
    }
}

/// Holds that a record is one line of a terminal.
fn check_line(line: &str) {
    assert!(!line.contains(['\n', '\r']) && !line.contains('\u{1b}'), "{line:?}");
    assert!(serde_json::from_str::<Value>(line).is_ok(), "{line:?}");
}
