//! Channel of a request's events, from its workers to its answer.
//!
//! Workers never wait for the answer, which takes events at the pace of its client. What it hasn't taken is bounded by
//! the number of images: an event replaces those of its image that it makes moot
//! ([`EventKind::supersedes`](super::event::EventKind::supersedes)), and of an image's passing news the latest
//! [`MAX_NEWS`] are kept. The end of an image is never lost, nor is the Space that it was given to last.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::channel::oneshot;
use futures::stream::Stream;

use super::event::Event;

/// Number of an image's passing events that are kept at most.
const MAX_NEWS: usize = 8;

/// Sending half. The channel ends with it.
pub(super) struct EventSender<T>(Rc<RefCell<Channel<T>>>);

/// Receiving half.
pub(super) struct EventReceiver<T> {
    channel: Rc<RefCell<Channel<T>>>,
    /// Dropped with it.
    _here: oneshot::Sender<()>,
}

/// Signal that the receiving half was dropped.
pub(super) type Gone = oneshot::Receiver<()>;

struct Channel<T> {
    /// Events that haven't been taken, in order.
    events: VecDeque<Event<T>>,
    has_ended: bool,
    waker: Option<Waker>,
}

/// A channel, and the signal that nobody takes its events any more.
pub(super) fn event_channel<T>() -> (EventSender<T>, EventReceiver<T>, Gone) {
    let channel = Channel { events: VecDeque::new(), has_ended: false, waker: None };
    let (channel, (here, gone)) = (Rc::new(RefCell::new(channel)), oneshot::channel());
    (EventSender(Rc::clone(&channel)), EventReceiver { channel, _here: here }, gone)
}

impl<T> EventSender<T> {
    /// Sends an event, in place of those that it makes moot.
    pub(super) fn send(&self, event: Event<T>) {
        let waker = {
            let mut channel = self.0.borrow_mut();
            channel.push(event);
            channel.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for EventSender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut channel = self.0.borrow_mut();
            channel.has_ended = true;
            channel.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Channel<T> {
    fn push(&mut self, event: Event<T>) {
        self.events.retain(|old| old.index != event.index || !event.kind.supersedes(&old.kind));
        if event.kind.is_passing() {
            let is_news = |old: &Event<T>| old.index == event.index && old.kind.is_passing();
            if self.events.iter().filter(|old| is_news(old)).count() >= MAX_NEWS
                && let Some(oldest) = self.events.iter().position(is_news)
            {
                self.events.remove(oldest);
            }
        }
        self.events.push_back(event);
    }
}

impl<T> Stream for EventReceiver<T> {
    type Item = Event<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<T>>> {
        let mut channel = self.channel.borrow_mut();
        if let Some(event) = channel.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if channel.has_ended {
            return Poll::Ready(None);
        }
        channel.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use bytes::Bytes;
    use futures::{FutureExt as _, StreamExt as _};
    use proptest::prelude::*;

    use super::*;
    use crate::dispatch::event::{EventKind, Image, Made, Placement, Timing};
    use crate::dispatch::refusal::Refusal;
    use crate::generation::{QueuePosition, Seed, StepProgress};
    use crate::gradio::cookies::CookieJar;
    use crate::gradio::discovery::signature::Signature;
    use crate::gradio::job::Progress;
    use crate::gradio::result::Picture;
    use crate::gradio::space::Space;

    const IMAGES: u32 = 3;
    /// Events of an image that are kept at most: news, and one each of those that don't pass.
    const MOST: usize = MAX_NEWS + 4;

    /// An event of that kind, by number, that can be told from others by `tag`.
    fn event(kind: usize, tag: u32) -> EventKind<u32> {
        let space = || Space::parse(&format!("a/s{tag}")).unwrap();
        let long = u64::from(tag);
        match kind {
            0 => EventKind::Waiting { before: tag.try_into().unwrap() },
            1 => {
                let signature = Rc::new(Signature { inputs: vec![], outputs: vec![], generator: false });
                EventKind::Placed(Placement { space: space(), signature })
            }
            2 => EventKind::Progress(Progress::Queued(QueuePosition { rank: long, ..QueuePosition::default() })),
            3 => EventKind::Progress(Progress::Started(Some(f64::from(tag)))),
            4 => EventKind::Progress(Progress::Step(StepProgress { index: Some(long), ..StepProgress::default() })),
            5 => {
                let (picture, seed) = (Picture::Inline(Bytes::new()), Seed::new(tag).unwrap());
                let cookies = CookieJar::new(space().origin().clone());
                EventKind::Partial(Box::new(Image { space: space(), picture, seed, size: None, cookies }))
            }
            6 => EventKind::Made(Made { item: tag, space: space(), timing: Timing::default() }),
            _ => EventKind::Failed(Refusal::NoSlot { after: Duration::from_secs(long) }),
        }
    }

    fn tag(kind: &EventKind<u32>) -> u32 {
        let of_space = |space: &Space| space.name().trim_start_matches("a/s").parse().unwrap();
        match kind {
            EventKind::Waiting { before } => u32::try_from(*before).unwrap(),
            EventKind::Placed(placement) => of_space(&placement.space),
            EventKind::Progress(Progress::Queued(position)) => u32::try_from(position.rank).unwrap(),
            EventKind::Progress(Progress::Started(Some(eta))) => format!("{eta:.0}").parse().unwrap(),
            EventKind::Progress(Progress::Step(step)) => u32::try_from(step.index.unwrap()).unwrap(),
            EventKind::Partial(image) => of_space(&image.space),
            EventKind::Made(made) => made.item,
            EventKind::Failed(Refusal::NoSlot { after }) => u32::try_from(after.as_secs()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn is_final(kind: &EventKind<u32>) -> bool {
        matches!(kind, EventKind::Made(_) | EventKind::Failed(_))
    }

    proptest! {
        /// `steps` are events of images by kind and how many events are taken after each.
        #[test]
        fn nothing_but_passing_news_is_lost_and_what_waits_is_bounded(
            steps in prop::collection::vec((0..IMAGES, 0_usize..8, 0_usize..3), 0..200)
        ) {
            let (sender, mut receiver, _gone) = event_channel();
            let mut sent: BTreeMap<u32, Vec<(usize, u32)>> = BTreeMap::new();
            let mut taken: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            let mut lasts: BTreeMap<u32, u32> = BTreeMap::new();
            let mut ended = Vec::new();
            for (number, (index, kind, takes)) in (0..).zip(steps) {
                if ended.contains(&index) {
                    continue;
                }
                let event = Event { index, kind: event(kind, number) };
                if is_final(&event.kind) {
                    ended.push(index);
                }
                lasts.insert(index, number);
                sent.entry(index).or_default().push((kind, number));
                sender.send(event);
                for _ in 0..takes {
                    if let Some(Some(event)) = receiver.next().now_or_never() {
                        taken.entry(event.index).or_default().push(tag(&event.kind));
                    }
                }
                let waiting = receiver.channel.borrow().events.len();
                prop_assert!(waiting <= MOST * usize::try_from(IMAGES).unwrap(), "{waiting} wait");
            }
            drop(sender);
            while let Some(event) = receiver.next().now_or_never().unwrap() {
                taken.entry(event.index).or_default().push(tag(&event.kind));
            }
            for (index, sent) in sent {
                let taken = taken.remove(&index).unwrap_or_default();
                prop_assert!(taken.windows(2).all(|pair| pair[0] < pair[1]), "in order: {taken:?}");
                prop_assert_eq!(taken.last(), lasts.get(&index), "the latest of all is taken");
                let placed = sent.iter().rfind(|(kind, _)| *kind == 1);
                prop_assert!(placed.is_none_or(|(_, number)| taken.contains(number)), "the last Space is told");
            }
        }
    }

    #[test]
    fn both_halves_see_the_end_of_the_other() {
        let (sender, mut receiver, mut gone) = event_channel::<u32>();
        assert!(receiver.next().now_or_never().is_none() && (&mut gone).now_or_never().is_none());
        drop(sender);
        assert!(receiver.next().now_or_never().unwrap().is_none());
        drop(receiver);
        assert!(gone.now_or_never().is_some());
    }
}
