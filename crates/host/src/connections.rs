//! Connections of clients: their number, and the time that one may stay without a request.
//!
//! A connection that says nothing, or its first line letter by letter, costs a descriptor and some memory, and no
//! request's own time limit ends it. So each is closed once it has had no request for a while, and when there are too
//! many, the one that has had none for the longest time makes room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Time after which room is looked for again where all connections have requests.
const FULL: Duration = Duration::from_millis(10);

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// Number of connections.
    pub(crate) most: usize,
    /// Time that a connection stays without a request.
    pub(crate) idle: Duration,
    /// Size of a request's head, in bytes.
    pub(crate) header_bytes: usize,
    /// Number of requests at once of an HTTP/2 connection.
    pub(crate) streams: u32,
}

/// The connections of a server.
pub(crate) struct Connections {
    limits: ConnectionLimits,
    open: Mutex<HashMap<u64, Arc<Activity>>>,
    next: AtomicU64,
}

/// Activity of a connection.
struct Activity {
    requests: AtomicUsize,
    /// Time of the last request's end, or of the connection's begin.
    idle_since: Mutex<Instant>,
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

impl Connections {
    /// No connections yet.
    pub(crate) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default(), next: AtomicU64::default() })
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
            idle_since: Mutex::new(Instant::now()),
            close: Notify::new(),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(id, Arc::clone(&activity));
        Connection { id, activity, all: Arc::clone(self) }
    }

    /// Fails where there is no room, with the connection that has been idle for the longest time.
    fn find_room(&self) -> Result<(), Option<Arc<Activity>>> {
        let open = self.lock();
        if open.len() < self.limits.most {
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
        is_idle.then(|| self.idle_since.lock().unwrap_or_else(PoisonError::into_inner).elapsed())
    }
}

impl Connection {
    /// Notes that a request has come, until the guard is dropped.
    pub(crate) fn begin_request(&self) -> ActiveRequest {
        self.activity.requests.fetch_add(1, Ordering::SeqCst);
        ActiveRequest(Arc::clone(&self.activity))
    }

    /// Waits until the connection is to be closed, as it has had no request for too long.
    pub(crate) async fn expired(&self) {
        loop {
            let left =
                self.activity.idle_for().map_or(self.all.limits.idle, |time| self.all.limits.idle.saturating_sub(time));
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
        *self.0.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.requests.fetch_sub(1, Ordering::SeqCst);
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
