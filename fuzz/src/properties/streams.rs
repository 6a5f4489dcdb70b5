//! Event streams of Spaces, and the messages in them.

use serde::Deserialize;
use z_image_2api::error::Error;
use z_image_2api::gradio::failure::Failure;
use z_image_2api::gradio::message::{Completion, Message};
use z_image_2api::gradio::sse::Decoder;

use super::{check_error, check_plain};
use crate::chance::Chance;

/// Events of a stream, and if it was given up after them.
#[derive(Debug, PartialEq)]
struct Decoded {
    events: Vec<Vec<u8>>,
    is_given_up: bool,
}

fn decoded<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = Decoder::new(limit);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(_) => return Decoded { events, is_given_up: true },
            }
        }
    }
    Decoded { events, is_given_up: false }
}

/// Events as the standard has them, read in the simplest way; and the length of the longest line or event.
fn as_the_standard_says(stream: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let (mut events, mut data, mut longest) = (Vec::new(), None::<Vec<u8>>, 0);
    let (mut line, mut after_cr) = (Vec::new(), false);
    for byte in stream {
        let is_rest_of_end = std::mem::take(&mut after_cr) && *byte == b'\n';
        if is_rest_of_end {
            continue;
        }
        if !matches!(byte, b'\r' | b'\n') {
            line.push(*byte);
            longest = longest.max(line.len());
            continue;
        }
        after_cr = *byte == b'\r';
        let line = std::mem::take(&mut line);
        let value = match line.iter().position(|byte| *byte == b':') {
            _ if line.is_empty() => {
                events.extend(data.take());
                continue;
            }
            Some(colon) if &line[..colon] == b"data" => {
                line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..])
            }
            None if line == b"data" => b"",
            _ => continue,
        };
        data = Some(data.map_or_else(|| value.to_vec(), |data| [data.as_slice(), b"\n", value].concat()));
        longest = longest.max(data.as_ref().map_or(0, Vec::len));
    }
    (events, longest)
}

/// The decoder: the same events however the stream is cut, those of the standard, none longer than the limit, and no
/// stream given up that keeps to it. The first byte chooses the limit.
pub fn decoder(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let limit = [16, 300, 1 << 20][usize::from(*first) % 3];
    let whole = decoded(limit, [stream]);
    assert_eq!(decoded(limit, stream.chunks(1)), whole, "byte by byte");
    assert_eq!(decoded(limit, Chance::of(data).pieces(stream)), whole, "in pieces");
    assert!(whole.events.iter().all(|event| event.len() <= limit), "longer than the limit");
    let (events, longest) = as_the_standard_says(stream);
    if whole.is_given_up {
        assert!(longest > limit && events.starts_with(&whole.events), "given up for nothing");
    } else {
        assert_eq!(whole.events, events);
    }
}

#[derive(Deserialize)]
struct Named {
    msg: String,
}

/// Messages: only one that ends the job may be unreadable, progress is from 0 to 1, and the words of a failure are fit
/// for a log line and an answer.
pub fn messages(data: &[u8]) {
    if !data.trim_ascii_start().starts_with(b"{") {
        assert!(Message::parse(data).is_err(), "a message is an object");
        return;
    }
    let name = serde_json::from_slice::<Named>(data).map(|named| named.msg);
    let message = match (Message::parse(data), &name) {
        (Ok(message), Ok(_)) => message,
        (Ok(message), Err(_)) => panic!("{message:?} without a name"),
        (Err(_), Ok(name)) => {
            assert!(matches!(name.as_str(), "process_completed" | "unexpected_error" | "close_stream"), "{name}");
            return;
        }
        (Err(_), Err(_)) => return,
    };
    let name = name.unwrap_or_default();
    match message {
        Message::Progress(step) => {
            assert_eq!(name, "progress");
            assert!(step.done().is_none_or(|done| (0.0..=1.0).contains(&done)), "{step:?}");
        }
        Message::ProcessCompleted(end) => {
            assert_eq!(name, "process_completed");
            if let Completion::Failed { message, title, is_meant } = end {
                let failure = Failure::of_job(message, title.as_deref(), is_meant);
                assert!(is_meant || !matches!(failure, Failure::Rejected { .. }), "nobody has meant it");
                if let Failure::Rejected { message } | Failure::Quota { message, .. } = &failure {
                    check_plain(message);
                }
                check_error(&Error::from(failure));
            }
        }
        Message::ProcessGenerating(_) => assert_eq!(name, "process_generating"),
        Message::Estimation(_) => assert_eq!(name, "estimation"),
        Message::ProcessStarts { .. } => assert_eq!(name, "process_starts"),
        Message::UnexpectedError { .. } => assert_eq!(name, "unexpected_error"),
        Message::CloseStream => assert_eq!(name, "close_stream"),
        Message::Other => assert!(!matches!(name.as_str(), "process_completed" | "unexpected_error" | "close_stream")),
    }
}
