//! The end of a request: the end of its answer's body, or the moment in which its client leaves.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::Stream;
use http::{Method, StatusCode};

use super::observer::Observer;
use super::record::{ObservedRoute, RequestEnd, RequestRecord};
use crate::platform::{Body, TransportError};

/// Guard of a request, which reports its end when dropped: as that of a client that has left, unless it knows better.
pub struct Ending {
    observer: Rc<Observer>,
    record: RequestRecord,
    end: Cell<RequestEnd>,
}

impl Observer {
    /// Begins to observe a request of that id.
    pub fn begin(self: &Rc<Self>, id: &str, method: &Method, route: Option<ObservedRoute>) -> Ending {
        Ending::new(self, RequestRecord::new(id, method, route, self.host().now()))
    }
}

impl Ending {
    fn new(observer: &Rc<Observer>, record: RequestRecord) -> Self {
        Self { observer: Rc::clone(observer), record, end: Cell::new(RequestEnd::Left) }
    }

    /// Record of the request.
    pub fn record(&self) -> &RequestRecord {
        &self.record
    }

    /// Notes the status of the answer.
    pub fn set_status(&self, status: StatusCode) {
        self.record.note(|known| known.status = status.as_u16());
    }

    /// Ends a request that is answered with so many bytes at once.
    pub fn complete(self, length: usize) {
        self.count(length);
        self.end.set(RequestEnd::Complete);
    }

    /// The body of the answer, which is followed to its end.
    pub fn follow(self, body: Body) -> Body {
        FollowedBody { body, ending: self }.boxed_local()
    }

    fn count(&self, length: usize) {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.record.note(|known| known.bytes = known.bytes.saturating_add(length));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.observer.ended(&self.record, self.end.get());
    }
}

struct FollowedBody {
    body: Body,
    ending: Ending,
}

impl Stream for FollowedBody {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = self.body.poll_next_unpin(cx);
        match &piece {
            Poll::Ready(Some(Ok(piece))) => self.ending.count(piece.len()),
            Poll::Ready(Some(Err(_))) => self.ending.end.set(RequestEnd::Broken),
            Poll::Ready(None) if self.ending.end.get() == RequestEnd::Left => self.ending.end.set(RequestEnd::Complete),
            Poll::Ready(None) | Poll::Pending => {}
        }
        piece
    }
}
