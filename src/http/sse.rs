//! Server-sent events (the HTML standard, section 9.2).
//!
//! Both official SDKs read them with parsers of their own, which fail on what the standard allows: no `retry:` lines,
//! no event without data, and a blank line behind the last one.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{LocalBoxStream, once, unfold};
use serde::Serialize;

use super::json::JsonBody;
use crate::platform::{Body, Host, timeout};

/// Silence after which a comment is sent, so that no proxy takes the line for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Comment that is sent then.
pub const BEAT: &[u8] = b": heartbeat\n\n";

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
pub fn body(host: &Host, events: Events) -> Body {
    let host = host.clone();
    unfold((host, events), async |(host, mut events)| {
        let piece: Body = match timeout(&host, HEARTBEAT, events.next()).await {
            Ok(Some(event)) => event.into_stream(),
            Ok(None) => return None,
            Err(_) => once(async { Ok(Bytes::from_static(BEAT)) }).boxed_local(),
        };
        Some((piece, (host, events)))
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
    fn silence_is_filled_with_comments() {
        let world = World::new(1);
        let clock = world.clone();
        let events = stream::iter([5_u64, 25, 1]).then(move |wait| {
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(wait)).await;
                event(Some("x"), &wait)
            }
        });
        let body = body(&world.host(), events.boxed_local());
        let text = world.run(read_to_end(body, usize::MAX)).unwrap();
        let event = |wait| format!("event: x\ndata: {wait}\n\n");
        let beat = ": heartbeat\n\n";
        assert_eq!(text, [event(5), beat.into(), beat.into(), event(25), event(1)].concat());
    }
}
