//! Wakers that every task of an instance may call.
//!
//! Each request is a task of the component model, with an executor of its own, and up to 16 of them share an instance.
//! The executor of wit-bindgen 0.57, which `wasip3` uses, can't be woken by another task: that traps. It traps too with
//! the feature `inter-task-wakeup`, which is meant for that, on a host that keeps to the rule that a waitable in a set
//! can't be cancelled synchronously (wasmtime 48): at the next event of any other kind.
//!
//! So a future gets a waker of its own here. Called within the future's task, it passes the call on. Called within
//! another, it drops the writing end of a stream, whose reading end the future's task waits on: an event of the
//! component model, which reaches a task wherever it comes from. Then channels between requests are as safe as those
//! within one.
//!
//! A future has its timers here too: the host has one for the earliest of its sleeps ([`Timers`]).
//!
//! Things of the host stay where they are: a future that reads or writes must be polled and dropped by the task
//! that polled it first. Between tasks only values go.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::LocalBoxFuture;
use send_wrapper::SendWrapper;
use wasip3::clocks::monotonic_clock;
use wasip3::wit_bindgen::StreamWriter;
use wasip3::wit_stream;

use crate::platform::timers::{Sleep, Timers};

thread_local! {
    /// The task that runs.
    static CURRENT: Cell<Option<u64>> = const { Cell::new(None) };
    /// The future that is being polled.
    static POLLED: RefCell<Option<Polled>> = const { RefCell::new(None) };
    /// Number of tasks so far.
    static TASKS: Cell<u64> = const { Cell::new(0) };
}

/// `future` as the beginning of a task.
pub(crate) async fn task<T>(future: impl Future<Output = T>) -> T {
    Awake::new(new_task(), future).await
}

/// Runs `future` beside what runs, in the same task.
///
/// The executor takes new futures over when it has polled the others, and then waits for the next event. So it is
/// woken: a future that is spawned runs at once, whatever else there is to wait for.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    let task = CURRENT.get().unwrap_or_else(new_task);
    wasip3::spawn(Awake::new(task, future));
    let executor = POLLED.with_borrow(|polled| polled.as_ref().map(|polled| polled.executor.clone()));
    if let Some(executor) = executor {
        executor.wake();
    }
}

/// Returns after `duration`.
pub(super) async fn sleep(duration: Duration) {
    let mut sleep = Sleep::until(now().saturating_add(duration));
    let mut own: Option<LocalBoxFuture<'static, ()>> = None;
    poll_fn(|cx| {
        let timers = POLLED.with_borrow(|polled| polled.as_ref().map(|polled| Rc::clone(&polled.timers)));
        match timers {
            Some(timers) => sleep.poll_among(&timers, cx),
            None => {
                own.get_or_insert_with(|| Box::pin(monotonic_clock::wait_for(nanoseconds(duration)))).as_mut().poll(cx)
            }
        }
    })
    .await;
}

/// In WASI's unit.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Monotonic time.
pub(super) fn now() -> Duration {
    Duration::from_nanos(monotonic_clock::now())
}

fn new_task() -> u64 {
    TASKS.replace(TASKS.get().wrapping_add(1))
}

/// Waker and timers of a future that is being polled.
struct Polled {
    /// Wakes its task's executor.
    executor: Waker,
    timers: Rc<Timers>,
}

/// A future that any task may wake.
struct Awake<F> {
    task: u64,
    /// `None` once it has ended.
    future: Option<Pin<Box<F>>>,
    bell: Arc<Bell>,
    waker: Waker,
    /// Ends when another task has rung the bell.
    rung: Option<LocalBoxFuture<'static, ()>>,
    timers: Rc<Timers>,
    /// Timer of the host, and its end: no later than the earliest sleep's.
    timer: Option<(Duration, LocalBoxFuture<'static, ()>)>,
}

/// Waker of a future.
struct Bell {
    task: u64,
    /// There is one thread; a waker is asked to be ready for more.
    inner: SendWrapper<BellWires>,
}

#[derive(Default)]
struct BellWires {
    /// Waker of its task's executor.
    within: RefCell<Option<Waker>>,
    /// Dropped, it is an event for its task.
    across: RefCell<Option<StreamWriter<u8>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Between two polls it is a task's own events that wake it.
        if CURRENT.get().is_none_or(|current| current == self.task) {
            let within = self.inner.within.borrow().clone();
            if let Some(waker) = within {
                waker.wake();
            }
        } else {
            let across = self.inner.across.take();
            drop(across);
        }
    }
}

impl<F> Awake<F> {
    fn new(task: u64, future: F) -> Self {
        let bell = Arc::new(Bell { task, inner: SendWrapper::new(BellWires::default()) });
        let waker = Waker::from(Arc::clone(&bell));
        let timers = Rc::default();
        Self { task, future: Some(Box::pin(future)), bell, waker, rung: None, timers, timer: None }
    }

    /// Waits for the earliest of the future's sleeps. Returns true where one has ended.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(earliest) = self.timers.earliest() {
            if self.timer.as_ref().is_none_or(|(end, _)| *end > earliest) {
                self.timer = Some((earliest, Box::pin(monotonic_clock::wait_until(nanoseconds(earliest)))));
            }
            if self.timer.as_mut().is_some_and(|(_, timer)| timer.as_mut().poll(cx).is_pending()) {
                return false;
            }
            self.timer = None;
            let now = now();
            self.timers.advance(now);
            if earliest <= now {
                return true;
            }
        }
        false
    }
}

impl<F: Future> Future for Awake<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let polled = Polled { executor: cx.waker().clone(), timers: Rc::clone(&this.timers) };
        let _entered = enter(this.task, Some(polled));
        this.bell.inner.within.replace(Some(cx.waker().clone()));
        loop {
            let Some(future) = &mut this.future else { return Poll::Pending };
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&this.waker)) {
                this.future = None;
                this.rung = None;
                this.timer = None;
                return Poll::Ready(done);
            }
            if !this.poll_timers(cx) {
                break;
            }
        }
        loop {
            let rung = this.rung.get_or_insert_with(|| {
                let (writer, mut reader) = wit_stream::new();
                this.bell.inner.across.replace(Some(writer));
                Box::pin(async move { drop(reader.read(Vec::with_capacity(1)).await) })
            });
            if rung.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // It was for the poll that has just been.
            this.rung = None;
        }
    }
}

impl<F> Drop for Awake<F> {
    fn drop(&mut self) {
        // What the future held may be what others wait for.
        let _entered = enter(self.task, None);
        self.future = None;
        self.rung = None;
        self.timer = None;
    }
}

/// Makes `task` the one that runs, with the future that is being polled, until the value is dropped.
fn enter(task: u64, polled: Option<Polled>) -> impl Drop {
    struct Entered(Option<u64>, Option<Polled>);
    impl Drop for Entered {
        fn drop(&mut self) {
            CURRENT.set(self.0);
            POLLED.replace(self.1.take());
        }
    }
    Entered(CURRENT.replace(Some(task)), POLLED.replace(polled))
}
