//! Requests with an `Idempotency-Key`, which are answered once.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::stream::{iter, unfold};
use http::Response;
use http::header::CONTENT_TYPE;

use super::exchange::Exchange;
use super::routes::RouteRow;
use super::state::App;
use crate::error::Error;
use crate::http::call::Call;
use crate::http::sse::Heartbeat;
use crate::http::{read, reply};
use crate::idempotency::flight::{Begun, Flight};
use crate::idempotency::key::{Fingerprint, Fingerprinting, IdempotencyKey};
use crate::idempotency::outcome::Outcome;
use crate::idempotency::stored_response::{self, StoredResponse};
use crate::platform::{Body, Content, content_length, read_to_end};

impl App {
    /// Answers a request for images; one with a key that was answered before, with that answer.
    pub(super) async fn answer_once(
        self: &Rc<Self>,
        row: &RouteRow,
        exchange: Exchange,
        body: Body,
    ) -> Result<Response<Content>, Error> {
        let call = &exchange.call;
        let Some(key) = IdempotencyKey::of(&call.head.headers, call.caller.id(), row.name)? else {
            return (row.handler)(exchange, body).await;
        };
        let (body, fingerprint) = self.read_fingerprinted(call, body).await?;
        let flight = match self.flights.begin(key, fingerprint).await? {
            Begun::Answered(answer) => return Ok(answer.replayed()),
            Begun::Join(joined) => return joined.answer().await.map(StoredResponse::replayed),
            Begun::Lead(flight) => flight,
        };
        let outcome = exchange.outcome.clone();
        match (row.handler)(exchange, body).await {
            Ok(response) => answered(flight, response, outcome).await,
            Err(error) => {
                let response = reply::error(&error);
                let is_final = outcome.is_final(error.status);
                flight.end(whole(response).await?, is_final);
                Err(error)
            }
        }
    }

    /// Reads a body for its fingerprint, and returns it as it came.
    async fn read_fingerprinted(&self, call: &Call, body: Body) -> Result<(Body, Fingerprint), Error> {
        let header = |name| call.head.headers.get(name).map(|value: &http::HeaderValue| value.as_bytes());
        let content_type = header(CONTENT_TYPE.as_str()).and_then(|value| std::str::from_utf8(value).ok());
        let boundary = multer::parse_boundary(content_type.unwrap_or_default()).ok();
        let model = call.deployment.as_deref().unwrap_or_default().as_bytes();
        let beside = [model, header("prefer").unwrap_or_default()];
        let mut taking = Fingerprinting::new(beside, boundary.as_deref());
        let pieces =
            read::pieces(&self.host, &call.head.headers, body, call.body_limit, |piece| taking.take(piece)).await?;
        Ok((iter(pieces.into_iter().map(Ok)).boxed_local(), taking.finish()))
    }
}

/// Hands an answer on and keeps it: at once where it is whole, behind its end where it is a stream.
async fn answered(flight: Flight, response: Response<Content>, outcome: Outcome) -> Result<Response<Content>, Error> {
    if stored_response::is_event_stream(response.headers()) {
        flight.streams();
        return Ok(recorded(flight, response, outcome));
    }
    let length = content_length(response.headers()).and_then(|length| usize::try_from(length).ok());
    if !flight.is_joined() && length.is_some_and(|length| length > stored_response::MAX_BODY) {
        // No other request waits for it, and it is too large to be kept: it need not be held whole.
        return Ok(response);
    }
    let answer = whole(response).await?;
    let is_final = outcome.is_final(answer.status);
    flight.end(answer.clone(), is_final);
    Ok(answer.into_response())
}

async fn whole(response: Response<Content>) -> Result<StoredResponse, Error> {
    let (head, content) = response.into_parts();
    let body = match content {
        Content::Empty => Bytes::new(),
        Content::Full(bytes) => bytes,
        Content::Stream(body) => read_to_end(body, usize::MAX)
            .await
            .map_err(|error| Error::internal("The answer could not be written.", error.to_string()))?,
    };
    Ok(StoredResponse::new(head.status, &head.headers, body))
}

/// A stream on its way to the client, of which a copy is taken.
struct Recording {
    body: Body,
    /// `None` once the answer is kept or given up. A client that leaves drops it, and the next one begins anew.
    flight: Option<Flight>,
    /// Copy of what has come, while it is little enough to be kept.
    copy: Option<BytesMut>,
    /// Filling of its silences, which is not repeated.
    heartbeat: Option<Heartbeat>,
}

fn recorded(flight: Flight, response: Response<Content>, outcome: Outcome) -> Response<Content> {
    let (head, content) = response.into_parts();
    let Content::Stream(body) = content else { return Response::from_parts(head, content) };
    let (status, headers) = (head.status, head.headers.clone());
    let heartbeat = head.extensions.get().cloned();
    let recording = Recording { body, flight: Some(flight), copy: Some(BytesMut::new()), heartbeat };
    let body = unfold((recording, status, headers, outcome), async |(mut recording, status, headers, outcome)| {
        let piece = recording.body.next().await;
        match &piece {
            Some(Ok(piece)) => recording.take(piece),
            Some(Err(_)) => recording.flight = None,
            None => {
                if let (Some(flight), Some(copy)) = (recording.flight.take(), recording.copy.take()) {
                    let answer = StoredResponse::new(status, &headers, copy.freeze());
                    flight.end(answer, outcome.is_final(status));
                }
            }
        }
        piece.map(|piece| (piece, (recording, status, headers, outcome)))
    });
    Response::from_parts(head, Content::Stream(body.boxed_local()))
}

impl Recording {
    fn take(&mut self, piece: &[u8]) {
        if !self.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.is(piece)) {
            self.copy = self.copy.take().filter(|copy| copy.len() + piece.len() <= stored_response::MAX_BODY);
            if let Some(copy) = &mut self.copy {
                copy.extend_from_slice(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idempotency::flight::Flights;
    use crate::idempotency::key::HEADER;
    use crate::platform::Value;
    use crate::platform::sim::World;
    use crate::store::tests::store;
    use http::header::CONTENT_LENGTH;
    use http::{HeaderMap, HeaderValue};
    use std::time::Duration;

    /// Number of answers that are kept of one of that many bytes, and its length for its client.
    fn left_by(length: usize, content_type: &'static str) -> (i64, usize) {
        let world = World::new(1);
        let flights = Flights::new(&store(&world), Duration::from_secs(60));
        let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_static("k"))]);
        let key = IdempotencyKey::of(&headers, "", "").unwrap().unwrap();
        let answering = async move {
            let Ok(Begun::Lead(flight)) = flights.begin(key, Fingerprint::kept("")).await else {
                panic!("not the first")
            };
            let piece = Bytes::from(vec![b'x'; 1 << 10]);
            let pieces =
                (0..length).step_by(piece.len()).map(move |at| Ok(piece.slice(..piece.len().min(length - at))));
            let mut response = Response::new(Content::Stream(iter(pieces).boxed_local()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            let response = answered(flight, response, Outcome::default()).await.unwrap();
            whole(response).await.unwrap().body.len()
        };
        let answered = world.run(answering);
        world.settle();
        let rows = world.database().query("SELECT COUNT(*) FROM idempotency", &[]).unwrap();
        let Value::Integer(count) = rows[0][0] else { panic!("{rows:?}") };
        (count, answered)
    }

    #[test]
    fn what_is_too_large_is_answered_and_not_kept() {
        for content_type in ["application/json", "text/event-stream; charset=utf-8"] {
            assert_eq!(left_by(stored_response::MAX_BODY, content_type), (1, stored_response::MAX_BODY));
            assert_eq!(left_by(stored_response::MAX_BODY + 1, content_type), (0, stored_response::MAX_BODY + 1));
        }
    }
}
