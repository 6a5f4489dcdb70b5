//! The properties, by what they are of.

pub mod answers;
pub mod catalog;
pub mod data_urls;
pub mod diffs;
pub mod discovery;
pub mod forms;
pub mod idempotency;
pub mod images;
pub mod json;
pub mod links;
pub mod requests;
pub mod results;
pub mod streams;

use bytes::Bytes;
use futures::stream;
use z_image_2api::error::Error;
use z_image_2api::gradio::space::{Origin, Space};
use z_image_2api::platform::sim::World;
use z_image_2api::platform::{Body, Host};

thread_local! {
    static WORLD: World = World::new(1);
}

/// A host for what draws random numbers.
fn host() -> Host {
    world().host()
}

/// A world for what takes time.
pub(crate) fn world() -> World {
    WORLD.with(World::clone)
}

/// The origin of a Space.
fn origin() -> Origin {
    Space::parse("http://127.0.0.1:7860").unwrap().origin().clone()
}

/// A body that comes in those pieces.
fn body(pieces: &[&[u8]]) -> Body {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Box::pin(stream::iter(pieces))
}

/// Holds that a text can stand in a log line, a header and a page: short, in one line, and in no other order than it
/// is written.
fn check_plain(text: &str) {
    assert!(text.chars().count() <= 501, "{} characters", text.chars().count());
    for c in text.chars() {
        let turns =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        assert!(!c.is_control() && !turns, "{c:?} in {text:?}");
    }
}

/// Holds that an error is one that OpenAI's clients read, of a status that an answer can have.
fn check_error(error: &Error) {
    assert!(error.status.is_client_error() || error.status.is_server_error(), "{error:?}");
    let body = serde_json::to_value(error.body()).unwrap();
    let fields = body["error"].as_object().unwrap();
    assert_eq!(fields.keys().map(String::as_str).collect::<Vec<_>>(), ["code", "message", "param", "type"]);
    assert!(error.message.len() < 4000, "{} bytes", error.message.len());
}
