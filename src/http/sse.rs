//! Server-sent events (the HTML standard, section 9.2).
//!
//! Both official SDKs read them with parsers of their own, which fail on what the standard allows: no `retry:` lines,
//! no event without data, and a blank line behind the last one.
//!
//! **Silence.** A comment has no blank line behind it: the Python SDK, once an event had an id, and the Go SDK before
//! March 2026 take the blank line for the end of an event, which has no data then, and fail on it. Clients of chats
//! read with parsers of their own, some of which know no comments: there an event with an empty delta fills the
//! silence.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{LocalBoxStream, once, unfold};
use serde::Serialize;

use super::json::JsonBody;
use crate::platform::{Body, Host, timeout};

/// Silence after which a heartbeat is sent, so that no proxy takes the line for dead.
const SILENCE: Duration = Duration::from_secs(10);

/// Bytes that fill a silence. The answer has them as an extension too, so that they can be told from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat(Bytes);

impl Heartbeat {
    /// A comment.
    pub const COMMENT: Self = Self(Bytes::from_static(b": heartbeat\n"));

    /// An event without an image in it.
    pub fn event(event: JsonBody) -> Self {
        Self(event.into_text().into())
    }

    /// True for the piece of a body that is a heartbeat.
    pub fn is(&self, piece: &[u8]) -> bool {
        self.0 == piece
    }
}

/// Events, each a text that ends with a blank line.
pub type Events = LocalBoxStream<'static, JsonBody>;

/// An event with that name, or with none, and `data` as JSON.
pub fn event(name: Option<&str>, data: &impl Serialize) -> JsonBody {
    event_with(name, |body| body.push_json(data))
}

/// An event with that name, or with none, whose data `write` adds.
pub fn event_with(name: Option<&str>, write: impl FnOnce(&mut JsonBody)) -> JsonBody {
    let mut event = JsonBody::default();
    if let Some(name) = name {
        event.push_text("event: ");
        event.push_text(name);
        event.push_text("\n");
    }
    event.push_text("data: ");
    write(&mut event);
    event.push_text("\n\n");
    event
}

/// An event with an id, which a client that comes back sends as `Last-Event-ID`.
pub fn event_with_id(id: i64, name: &str, data: &impl Serialize) -> JsonBody {
    let mut event = JsonBody::default();
    event.push_text(&format!("id: {id}\nevent: {name}\ndata: "));
    event.push_json(data);
    event.push_text("\n\n");
    event
}

/// The events as a body, with heartbeats where there are none for long.
pub(super) fn body(host: &Host, events: Events, heartbeat: Heartbeat) -> Body {
    let host = host.clone();
    unfold((host, events, heartbeat), async |(host, mut events, heartbeat)| {
        let piece: Body = match timeout(&host, SILENCE, events.next()).await {
            Ok(Some(event)) => event.into_stream(),
            Ok(None) => return None,
            Err(_) => once(ready(Ok(heartbeat.0.clone()))).boxed_local(),
        };
        Some((piece, (host, events, heartbeat)))
    })
    .flatten()
    .boxed_local()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{Platform as _, read_to_end, sim::World};
    use futures::stream;

    #[test]
    fn silence_is_filled_without_an_event_that_has_no_data() {
        let world = World::new(1);
        let text = |heartbeat| {
            let clock = world.clone();
            let events = stream::iter([5_u64, 25, 1]).then(move |wait| {
                let clock = clock.clone();
                async move {
                    clock.sleep(Duration::from_secs(wait)).await;
                    event(Some("x"), &wait)
                }
            });
            let body = body(&world.host(), events.boxed_local(), heartbeat);
            world.run(read_to_end(body, usize::MAX)).unwrap()
        };
        let said = |wait| format!("event: x\ndata: {wait}\n\n");
        let with = |beat: &str| [said(5), beat.to_owned(), beat.to_owned(), said(25), said(1)].concat();
        assert_eq!(text(Heartbeat::COMMENT), with(": heartbeat\n"));
        assert_eq!(text(Heartbeat::event(event(None, &0))), with("data: 0\n\n"));
    }
}
