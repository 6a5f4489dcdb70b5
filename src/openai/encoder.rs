//! Encoding of updates as server-sent events: what the streams of all endpoints share.

use std::collections::VecDeque;

use futures::StreamExt as _;
use futures::stream::unfold;

use crate::http::json::JsonBody;
use crate::http::sse::Events;
use crate::pipeline::{Update, Updates};

/// Events that are ready to be sent.
pub type EventQueue = VecDeque<JsonBody>;

/// Encoder of updates as an endpoint's events.
pub trait EventEncoder: 'static {
    /// Encodes what comes before the first update.
    fn begin(&mut self, events: &mut EventQueue);

    /// Encodes an update.
    fn encode(&mut self, update: Update, events: &mut EventQueue);

    /// Encodes what comes behind the last update.
    fn end(&mut self, events: &mut EventQueue) -> impl Future<Output = ()>;
}

struct Encoding<E> {
    encoder: E,
    /// Taken once they have ended.
    updates: Option<Updates>,
    events: EventQueue,
}

/// The events of `updates`, as they happen.
pub fn encoded(mut encoder: impl EventEncoder, updates: Updates) -> Events {
    let mut events = EventQueue::new();
    encoder.begin(&mut events);
    let encoding = Encoding { encoder, updates: Some(updates), events };
    unfold(encoding, |mut encoding| async move {
        let event = encoding.next().await?;
        Some((event, encoding))
    })
    .boxed_local()
}

impl<E: EventEncoder> Encoding<E> {
    async fn next(&mut self) -> Option<JsonBody> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match self.updates.as_mut()?.next().await {
                Some(update) => self.encoder.encode(update, &mut self.events),
                None => {
                    self.updates = None;
                    self.encoder.end(&mut self.events).await;
                }
            }
        }
    }
}
