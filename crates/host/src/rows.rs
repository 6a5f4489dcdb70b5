//! Rows of a result, on their way to the guest that reads them.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc::Receiver;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult};

/// Number of rows of a result that wait for their reader.
pub(crate) const BUFFERED_ROWS: usize = 4;
/// The most bytes of a whole result, or of one row of a stream.
pub(crate) const MAX_BUFFERED_BYTES: usize = 128 << 20;

/// The end of a channel that a guest reads.
pub(crate) struct RowProducer<T>(pub(crate) Receiver<T>);

impl<D, T: Send + Sync + 'static> StreamProducer<D> for RowProducer<T> {
    type Item = T;
    type Buffer = Option<T>;

    /// One row at a time, so that no more are on their way than the channel holds.
    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, T, Option<T>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        match self.0.poll_recv(cx) {
            Poll::Ready(Some(row)) => {
                destination.set_buffer(Some(row));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(None) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}
