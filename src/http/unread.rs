//! Bodies that their clients don't read.
//!
//! A body is asked for its next piece when the client has taken the one before. A client that takes nothing for
//! [`LIMIT`], though a piece waits for it, is treated as gone: the body is dropped, and with it everything that is done
//! or held for it. A stream of events has a comment every ten seconds, so there is always something that waits.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::stream::Stream;

use crate::platform::{Body, Host, TransportError};

/// Time within which a client must have taken a piece.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Interval of the checks.
const LOOK: Duration = Duration::from_secs(5);

/// `body`, which is dropped once its client takes nothing any more; then `on_unread` is called, and a reader that comes
/// back finds it broken.
pub fn watched(host: &Host, body: Body, on_unread: impl FnOnce() + 'static) -> Body {
    let (here, gone) = oneshot::channel();
    let shared =
        Rc::new(WatchedBody { body: RefCell::new(Some(body)), waits: Cell::default(), is_unread: Cell::default() });
    let (there, clock) = (Rc::clone(&shared), Rc::clone(host));
    host.spawn(Box::pin(async move {
        if watch(&clock, &there, gone).await {
            on_unread();
        }
    }));
    Watched { host: Rc::clone(host), shared, _here: here }.boxed_local()
}

struct WatchedBody {
    /// `None` once it has ended or was dropped.
    body: RefCell<Option<Body>>,
    /// Time since when a piece waits to be taken, monotonic.
    waits: Cell<Option<Duration>>,
    is_unread: Cell<bool>,
}

struct Watched {
    host: Host,
    shared: Rc<WatchedBody>,
    /// Dropped with it.
    _here: oneshot::Sender<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        // At once, not when the watch finds out.
        let body = self.shared.body.take();
        drop(body);
    }
}

/// Waits until the body has ended or its reader is gone, or drops it where nobody reads it. Returns true then.
async fn watch(host: &Host, shared: &WatchedBody, mut gone: oneshot::Receiver<()>) -> bool {
    loop {
        if let Either::Left(_) = select(&mut gone, host.sleep(LOOK)).await {
            return false;
        }
        let waited = shared.waits.get().map(|since| host.now().saturating_sub(since));
        if waited.is_some_and(|waited| waited >= LIMIT) {
            shared.is_unread.set(true);
            let body = shared.body.take();
            let is_unread = body.is_some();
            drop(body);
            return is_unread;
        }
    }
}

impl Stream for Watched {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let shared = &self.shared;
        shared.waits.set(None);
        if shared.is_unread.take() {
            let error = TransportError::Broken(format!("nobody took a piece for {} s", LIMIT.as_secs()));
            return Poll::Ready(Some(Err(error)));
        }
        let mut body = shared.body.borrow_mut();
        let Some(open) = body.as_mut() else { return Poll::Ready(None) };
        let piece = open.poll_next_unpin(cx);
        match &piece {
            Poll::Ready(Some(Ok(_))) => shared.waits.set(Some(self.host.now())),
            Poll::Ready(Some(Err(_)) | None) => *body = None,
            Poll::Pending => {}
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::platform::Platform as _;
    use crate::platform::sim::World;

    /// Pieces that a reader gets that pauses so long before each, and the number of times that it was taken for gone.
    fn read(pause: u64) -> (Vec<Result<Bytes, TransportError>>, usize) {
        let world = World::new(1);
        let body = stream::iter([1, 2, 3].map(|number| Ok(Bytes::from(vec![number])))).boxed_local();
        let given_up = Rc::new(Cell::new(0));
        let counted = Rc::clone(&given_up);
        let mut body = watched(&world.host(), body, move || counted.set(counted.get() + 1));
        let there = world.clone();
        let pieces = world.run(async move {
            let mut pieces = Vec::new();
            while let Some(piece) = body.next().await {
                pieces.push(piece);
                there.sleep(Duration::from_secs(pause)).await;
            }
            pieces
        });
        let ended = world.now();
        world.settle();
        assert!(world.now() - ended <= Duration::from_secs(5), "nothing goes on for what is read to its end");
        (pieces, given_up.get())
    }

    #[test]
    fn who_takes_a_piece_a_minute_gets_all_and_who_takes_none_is_cut_off() {
        let (pieces, given_up) = read(59);
        assert_eq!((pieces.iter().filter(|piece| piece.is_ok()).count(), pieces.len(), given_up), (3, 3, 0));
        let (pieces, given_up) = read(66);
        assert!(matches!(pieces.as_slice(), [Ok(_), Err(TransportError::Broken(_))]), "{pieces:?}");
        assert_eq!(given_up, 1);
    }

    #[test]
    fn a_body_that_has_nothing_to_say_is_not_unread() {
        let world = World::new(2);
        let (host, there) = (world.host(), world.clone());
        let body = stream::once(async move {
            there.sleep(Duration::from_secs(600)).await;
            Ok(Bytes::from_static(b"x"))
        });
        let body = watched(&host, body.boxed_local(), || panic!("it was read"));
        assert_eq!(world.run(body.collect::<Vec<_>>()).len(), 1);
    }
}
