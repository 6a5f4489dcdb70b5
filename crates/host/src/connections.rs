//! Connections of clients: their number, and the time that one may stay without a request.
//!
//! A connection that says nothing, or its first line letter by letter, costs a descriptor and some memory, and no
//! request's own time limit ends it. So each is closed once it has had no request for a while, and when there are too
//! many, the one that has had none for the longest time makes room. A client that doesn't take its answer costs what
//! the answer holds, and is closed after the same time.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Time after which room is looked for again where all connections have requests.
const FULL: Duration = Duration::from_millis(10);

/// Limits of connections, and their sockets' option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionOptions {
    /// Number of connections.
    pub(crate) most: usize,
    /// Time that a connection stays without a request, or with answers of which its client takes nothing.
    pub(crate) idle: Duration,
    /// Size of a request's head, in bytes.
    pub(crate) header_bytes: usize,
    /// Number of requests at once of an HTTP/2 connection.
    pub(crate) streams: u32,
    /// Pieces of an answer leave when they are written (`TCP_NODELAY`).
    pub(crate) tcp_nodelay: bool,
}

/// The connections of a server.
pub(crate) struct Connections {
    options: ConnectionOptions,
    open: Mutex<HashMap<u64, Arc<Activity>>>,
    next: AtomicU64,
}

/// Activity of a connection.
struct Activity {
    requests: AtomicUsize,
    /// Answers of which the client has a piece before it, and hasn't asked for the next.
    offered: AtomicUsize,
    /// Time of the last request's end, of the last piece that was offered, or of the connection's begin.
    idle_since: Mutex<Instant>,
    /// Time at which the client last took something for which it had been waited.
    taken_at: Mutex<Instant>,
    close: Notify,
}

/// An open connection. Dropped, it makes room for another.
pub(crate) struct Connection {
    id: u64,
    activity: Arc<Activity>,
    all: Arc<Connections>,
}

/// A request that is being answered.
pub(crate) struct ActiveRequest(Arc<Activity>);

/// An answer's body, which notes what the client takes of it.
pub(crate) struct ActiveBody<B> {
    body: B,
    request: ActiveRequest,
    is_offered: bool,
}

/// A client's socket, which notes that a slow client takes something. What goes out at once, such as the pings of
/// HTTP/2, says nothing about the client.
pub(crate) struct ActiveStream {
    stream: TcpStream,
    activity: Arc<Activity>,
    is_waiting: bool,
}

impl Connections {
    /// No connections yet.
    pub(crate) fn new(options: ConnectionOptions) -> Arc<Self> {
        Arc::new(Self { options, open: Mutex::default(), next: AtomicU64::default() })
    }

    /// Admits a connection, once there is room for it.
    pub(crate) async fn admit(self: &Arc<Self>) -> Connection {
        while let Err(idlest) = self.find_room() {
            if let Some(idlest) = idlest {
                idlest.close.notify_one();
            }
            tokio::time::sleep(FULL).await;
        }
        let activity = Arc::new(Activity {
            requests: AtomicUsize::default(),
            offered: AtomicUsize::default(),
            idle_since: Mutex::new(Instant::now()),
            taken_at: Mutex::new(Instant::now()),
            close: Notify::new(),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(id, Arc::clone(&activity));
        Connection { id, activity, all: Arc::clone(self) }
    }

    /// Fails where there is no room, with the connection that has been idle for the longest time.
    fn find_room(&self) -> Result<(), Option<Arc<Activity>>> {
        let open = self.lock();
        if open.len() < self.options.most {
            return Ok(());
        }
        let idle = open.values().filter_map(|activity| Some((activity.idle_for()?, activity)));
        Err(idle.max_by_key(|(time, _)| *time).map(|(_, activity)| Arc::clone(activity)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activity {
    /// Time without a request; none while there is one.
    fn idle_for(&self) -> Option<Duration> {
        let is_idle = self.requests.load(Ordering::SeqCst) == 0;
        is_idle.then(|| self.unmoved_for())
    }

    /// Time for which the client has taken nothing, and nothing new was offered.
    fn unmoved_for(&self) -> Duration {
        lock(&self.idle_since).elapsed().min(lock(&self.taken_at).elapsed())
    }

    /// Time for which the connection has been of no use.
    fn useless_for(&self) -> Option<Duration> {
        let is_stuck = self.offered.load(Ordering::SeqCst) > 0;
        self.idle_for().or_else(|| is_stuck.then(|| self.unmoved_for()))
    }
}

fn lock(time: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    time.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Notes that a request has come, until the guard is dropped.
    pub(crate) fn begin_request(&self) -> ActiveRequest {
        self.activity.requests.fetch_add(1, Ordering::SeqCst);
        ActiveRequest(Arc::clone(&self.activity))
    }

    /// The connection's socket.
    pub(crate) fn stream(&self, stream: TcpStream) -> ActiveStream {
        ActiveStream { stream, activity: Arc::clone(&self.activity), is_waiting: false }
    }

    /// Waits until the connection is to be closed, as it has been of no use for too long.
    pub(crate) async fn expired(&self) {
        let limit = self.all.options.idle;
        loop {
            let left = self.activity.useless_for().map_or(limit, |time| limit.saturating_sub(time));
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.activity.close.notified() => {
                    if self.activity.idle_for().is_some() {
                        return;
                    }
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        *lock(&self.0.idle_since) = Instant::now();
        self.0.requests.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ActiveRequest {
    /// The answer's body, with which the request lasts.
    pub(crate) fn body<B>(self, body: B) -> ActiveBody<B> {
        ActiveBody { body, request: self, is_offered: false }
    }
}

impl<B> ActiveBody<B> {
    fn offer(&mut self, is_offered: bool) {
        if std::mem::replace(&mut self.is_offered, is_offered) == is_offered {
            return;
        }
        let activity = &self.request.0;
        if is_offered {
            *lock(&activity.idle_since) = Instant::now();
            activity.offered.fetch_add(1, Ordering::SeqCst);
        } else {
            activity.offered.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl<B: Body + Unpin> Body for ActiveBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        // To ask for the next piece is to have taken the last.
        self.offer(false);
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.offer(matches!(polled, Poll::Ready(Some(Ok(_)))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for ActiveBody<B> {
    fn drop(&mut self) {
        self.offer(false);
    }
}

impl ActiveStream {
    fn taken(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if std::mem::replace(&mut self.is_waiting, polled.is_pending()) && polled.is_ready() {
            *lock(&self.activity.taken_at) = Instant::now();
        }
        polled
    }
}

impl AsyncRead for ActiveStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ActiveStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.taken(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.taken(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Raises the number of descriptors that the process may have as far as the system lets it, and returns the number of
/// connections that this leaves room for.
pub(crate) fn room_for_connections() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not be raised, it stays as it is.
    let _ = setrlimit(Resource::Nofile, limit);
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // A request may have some of its own: to a Space, and to the database.
    usize::try_from(descriptors / 3).unwrap_or(usize::MAX).max(1)
}
