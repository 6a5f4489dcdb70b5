//! Timers of a task, behind one timer of the host.
//!
//! Nearly all sleeps are time limits that never run out: a generation makes some fifteen of them, and each would cost
//! the host a timer, its start, its wait and its end. So sleeps are kept here, and a task asks the host for one timer
//! only: for the earliest of them. One that is asked for later than that costs nothing until it is due.
//!
//! Times are monotonic, from the host's origin.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Sleeps of a task, by their end.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Waker of each; two may end at the same time.
    sleeping: RefCell<BTreeMap<SleepKey, Waker>>,
    /// Number of sleeps so far.
    count: Cell<u64>,
}

/// End of a sleep, and its number.
type SleepKey = (Duration, u64);

/// A sleep until a time.
#[derive(Debug)]
pub(super) struct Sleep {
    end: Duration,
    /// Timers that it is among once it has been polled. It is over when it no longer is.
    kept: Option<(Rc<Timers>, SleepKey)>,
}

impl Timers {
    /// Earliest end of a sleep.
    pub(super) fn earliest(&self) -> Option<Duration> {
        self.sleeping.borrow().first_key_value().map(|((end, _), _)| *end)
    }

    /// Ends all sleeps that are due at `now`.
    pub(super) fn advance(&self, now: Duration) {
        let rest = self.sleeping.borrow_mut().split_off(&(now, u64::MAX));
        let due = self.sleeping.replace(rest);
        for waker in due.into_values() {
            waker.wake();
        }
    }
}

impl Sleep {
    /// A sleep until `end`.
    pub(super) fn until(end: Duration) -> Self {
        Self { end, kept: None }
    }

    /// Polls it among `timers`, which are others than before where the future it is part of has moved to another task.
    pub(super) fn poll_among(&mut self, timers: &Rc<Timers>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((kept, key)) = &self.kept {
            let mut sleeping = kept.sleeping.borrow_mut();
            match sleeping.get_mut(key) {
                None => return Poll::Ready(()),
                Some(waker) if Rc::ptr_eq(kept, timers) => {
                    waker.clone_from(cx.waker());
                    return Poll::Pending;
                }
                Some(_) => sleeping.remove(key),
            };
        }
        let key = (self.end, timers.count.replace(timers.count.get().wrapping_add(1)));
        timers.sleeping.borrow_mut().insert(key, cx.waker().clone());
        self.kept = Some((Rc::clone(timers), key));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((timers, key)) = &self.kept {
            timers.sleeping.borrow_mut().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(sleep: &mut Sleep, timers: &Rc<Timers>, waker: &Waker) -> bool {
        sleep.poll_among(timers, &mut Context::from_waker(waker)).is_ready()
    }

    #[test]
    fn a_sleep_is_over_when_its_time_has_come_and_wakes_who_polled_it_last() {
        let (timers, first, last) =
            (Rc::new(Timers::default()), Arc::new(Count::default()), Arc::new(Count::default()));
        let mut sleep = Sleep::until(Duration::from_secs(2));
        assert_eq!(timers.earliest(), None, "nobody waits yet");
        assert!(!poll(&mut sleep, &timers, &Waker::from(Arc::clone(&first))));
        assert!(!poll(&mut sleep, &timers, &Waker::from(Arc::clone(&last))));
        timers.advance(Duration::from_millis(1999));
        assert_eq!((timers.earliest(), last.0.load(Ordering::Relaxed)), (Some(Duration::from_secs(2)), 0));
        timers.advance(Duration::from_secs(2));
        assert_eq!((first.0.load(Ordering::Relaxed), last.0.load(Ordering::Relaxed)), (0, 1));
        assert!(poll(&mut sleep, &timers, Waker::noop()));
        assert_eq!(timers.earliest(), None);
    }

    #[test]
    fn a_sleep_goes_where_its_future_goes() {
        let (there, here) = (Rc::new(Timers::default()), Rc::new(Timers::default()));
        let (end, mut sleep) = (Duration::from_secs(2), Sleep::until(Duration::from_secs(2)));
        assert!(!poll(&mut sleep, &there, Waker::noop()) && !poll(&mut sleep, &here, Waker::noop()));
        assert_eq!((there.earliest(), here.earliest()), (None, Some(end)));
        here.advance(end);
        assert!(poll(&mut sleep, &there, Waker::noop()), "what has ended has ended everywhere");
    }

    proptest! {
        /// Sleeps of those lengths are begun, given up, or time passes, in that order.
        #[test]
        fn whatever_is_begun_and_given_up_the_earliest_of_the_rest_is_known(
            steps in prop::collection::vec((0_u8..3, 0_u64..20, any::<prop::sample::Index>()), 0..60)
        ) {
            let timers = Rc::new(Timers::default());
            let mut now = Duration::ZERO;
            let mut open: Vec<Sleep> = Vec::new();
            for (kind, seconds, which) in steps {
                match kind {
                    0 => {
                        let mut sleep = Sleep::until(now + Duration::from_secs(seconds));
                        prop_assert!(!poll(&mut sleep, &timers, Waker::noop()));
                        open.push(sleep);
                    }
                    1 if !open.is_empty() => drop(open.swap_remove(which.index(open.len()))),
                    _ => {
                        now += Duration::from_secs(seconds);
                        timers.advance(now);
                        open.retain_mut(|sleep| {
                            let is_over = poll(sleep, &timers, Waker::noop());
                            assert_eq!(is_over, sleep.end <= now);
                            !is_over
                        });
                    }
                }
                let ends: BTreeSet<Duration> = open.iter().map(|sleep| sleep.end).collect();
                prop_assert_eq!(timers.earliest(), ends.first().copied());
            }
        }
    }
}
