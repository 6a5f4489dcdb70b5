//! Making some of a request's images, on one Space after another until they are made or nothing more can be done.
//!
//! A worker waits for a slot at a Space, takes as many of the request's images as one job there makes, and sees them
//! through: job, images, delivery. Where the Space fails them, it waits for a slot at another, with what is left. Where
//! a model has several Spaces, it may come back to those that have failed, after all the others and after a pause: by
//! then one that was restarted may be back. A request has `job_timeout` for everything, waits and tries together, and
//! an image at most [`TRIES`] tries.
//!
//! A job that waits in a Space's queue is moved where that Space's own estimate is more than twice what another
//! promises, and ten seconds more; and where it has waited three times as long as it should have, and half a minute
//! more, while another has room. The first says nothing of the Space, the second is a failure.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use futures::future::{Either, join_all, select};

use super::crowd::Place;
use super::event::{Deliver, Event, EventKind, Image, Made, Placement, Timing};
use super::order::{Order, Station};
use super::refusal::{Refusal, Tried};
use super::scheduler::{Candidate, Past, Scheduler, SlotGuard, SlotRequest, Stagger};
use super::verdict::{Blame, Verdict};
use super::work::{Spent, Step, Work};
use crate::gradio::failure::Failure;
use crate::gradio::job::Progress;
use crate::gradio::message::QueuePosition;
use crate::gradio::space::Space;

/// Ratio of a Space's estimate to what another promises beyond which a job is moved.
const ETA_RATIO: f64 = 2.0;
/// Seconds that must lie between them as well.
const ETA_MARGIN: f64 = 10.0;
/// Time that a job waits before it goes to a Space again that has failed it, the first time; then twice as long each
/// time, up to eight times.
const PAUSE: Duration = Duration::from_millis(500);
/// Time between two looks at whether a Space is getting on with a job that waits there.
const LOOK: Duration = Duration::from_secs(5);
/// Ratio of a job's wait at a Space to what it should have been beyond which it is moved.
const STALL_RATIO: f64 = 3.0;
/// Seconds that must lie between them as well.
const STALL_MARGIN: f64 = 30.0;
/// Times that a job is moved for its place in a queue.
const MOVES: u32 = 2;
/// Number of failures that may be the prompt's as well as the Space's that a job is moved for.
const UNCLEAR: u32 = 2;
/// Most tries of an image where there are several Spaces, those with a fresh token left out.
const TRIES: usize = 8;

/// Things that all workers of a request share.
pub(super) struct Shared<T> {
    pub(super) id: u64,
    /// When it came, in monotonic time and since the Unix epoch.
    pub(super) since: (Duration, Duration),
    pub(super) place: Place,
    pub(super) caller: Rc<str>,
    /// Whether one of its jobs has been let in.
    pub(super) is_admitted: Rc<Cell<bool>>,
    pub(super) scheduler: Rc<Scheduler>,
    pub(super) order: Order,
    pub(super) stagger: Rc<Stagger>,
    pub(super) deliver: Deliver<T>,
    pub(super) tell: UnboundedSender<Event<T>>,
    /// Time that it has, waits and tries together.
    pub(super) limit: Duration,
}

/// One of a request's workers.
pub(super) struct Worker<T> {
    shared: Rc<Shared<T>>,
    /// Which: until it has taken images, it stands for the one of that number.
    number: u32,
    /// Images that it is to make.
    todo: VecDeque<Range<u32>>,
    /// The Spaces that have failed it, or that it has left.
    tried: Vec<Space>,
    /// Those that can't do what is wanted.
    unfit: Vec<Space>,
    /// Failure of the first of them.
    first: Option<Failure>,
    /// Reason of the first of those.
    cannot: Option<Failure>,
    /// Its tries that came to nothing.
    failures: Vec<Tried>,
    unclear: u32,
    moves: u32,
}

/// Reason for which a slot was left before all images were made.
enum End {
    /// The Space failed them.
    Failed(Failure),
    /// Its queue is too long.
    Left,
}

impl<T: 'static> Worker<T> {
    pub(super) fn new(shared: Rc<Shared<T>>, number: u32) -> Self {
        Self {
            shared,
            number,
            todo: VecDeque::new(),
            tried: Vec::new(),
            unfit: Vec::new(),
            first: None,
            cannot: None,
            failures: Vec::new(),
            unclear: 0,
            moves: 0,
        }
    }

    /// Makes images until there are none left for it.
    pub(super) async fn run(mut self) {
        self.shared.scheduler.pay_in();
        while !(self.todo.is_empty() && self.shared.order.pending() == 0) {
            let slot = match self.slot().await {
                Ok(slot) => Rc::new(slot),
                Err(refusal) => return self.give_up(&refusal),
            };
            match self.use_slot(&slot).await {
                Ok(()) if self.todo.is_empty() => return,
                Ok(()) => {}
                Err(End::Left) => {
                    self.moves += 1;
                    remember(&mut self.tried, &slot);
                }
                Err(End::Failed(failure)) => {
                    let verdict = slot.failed(&failure);
                    match (&failure, verdict.blame) {
                        (Failure::Unsupported(_), _) => remember(&mut self.unfit, &slot),
                        // With another token it is as good as new.
                        (_, Blame::Exhausted(_)) if slot.token().is_some() => {}
                        _ => remember(&mut self.tried, &slot),
                    }
                    let space = slot.member().space.name().to_owned();
                    drop(slot);
                    if let Some(refusal) = self.judge(verdict, failure, space) {
                        return self.give_up(&refusal);
                    }
                }
            }
        }
    }

    /// End of the request's time, in monotonic time.
    fn deadline(&self) -> Duration {
        self.shared.since.0.saturating_add(self.shared.limit)
    }

    /// Waits for a slot.
    async fn slot(&self) -> Result<SlotGuard, Refusal> {
        let candidates = self.candidates();
        let shared = &self.shared;
        if candidates.iter().all(|candidate| candidate.past != Past::Fresh) {
            // All have failed it. One that was restarted may need a moment.
            let again = u32::try_from(self.failures.len().saturating_sub(candidates.len())).unwrap_or(u32::MAX).min(3);
            shared.scheduler.pause(PAUSE.saturating_mul(1 << again)).await;
        }
        if candidates.is_empty() {
            let why = self.first.clone().or_else(|| self.cannot.clone());
            return Err(why.unwrap_or(Failure::NoImage).into());
        }
        let request = SlotRequest {
            request: shared.id,
            place: shared.place.clone(),
            caller: Rc::clone(&shared.caller),
            is_admitted: Rc::clone(&shared.is_admitted),
            priority: shared.order.generation.priority,
            is_idle: self.todo.is_empty(),
            since: shared.since.1,
            candidates,
            stagger: Rc::clone(&shared.stagger),
        };
        let waits = |before| self.tell(self.index(), EventKind::Waiting { before });
        let slot = shared.scheduler.take(request, self.deadline(), waits).await;
        slot.map_err(|refusal| match (&refusal, &self.first) {
            // What a Space said of this very job tells more than that the others rest.
            (Refusal::Resting { .. }, Some(first)) => first.clone().into(),
            (Refusal::NoSlot { .. }, Some(_)) => self.out_of_time(),
            _ => refusal,
        })
    }

    /// The request's time is over, and what was tried is all that can be said.
    fn out_of_time(&self) -> Refusal {
        match self.failures.last() {
            Some(last) => Refusal::OutOfTime {
                last: Box::new(last.failure.clone()),
                after: self.shared.limit,
                tried: self.failures.clone(),
            },
            None => Refusal::NoSlot { after: self.shared.limit },
        }
    }

    /// The Spaces that may make its images.
    fn candidates(&self) -> Vec<Candidate> {
        let order = &self.shared.order;
        let fit = order.stations().iter().filter(|station| !self.unfit.contains(&station.member.space));
        fit.map(|station| Candidate {
            member: station.member.clone(),
            work: station.work(&order.generation),
            past: match self.tried.iter().rposition(|space| *space == station.member.space) {
                None => Past::Fresh,
                Some(at) if at + 1 == self.tried.len() => Past::Last,
                Some(_) => Past::Earlier,
            },
        })
        .collect()
    }

    /// Makes what it can at the Space where it has a slot.
    async fn use_slot(&mut self, slot: &Rc<SlotGuard>) -> Result<(), End> {
        let shared = Rc::clone(&self.shared);
        let waited = shared.scheduler.now().saturating_sub(shared.since.0);
        let stations = shared.order.stations();
        let Some(station) = stations.iter().find(|station| station.member.space == slot.member().space) else {
            return Err(End::Failed(Failure::NoImage));
        };
        let maker = station.maker().await.map_err(End::Failed)?;
        if self.todo.is_empty() {
            let range = shared.order.take(maker.at_once(shared.order.pending()));
            if shared.order.pending() == 0 {
                shared.scheduler.dismiss_idle(shared.id);
            }
            if range.is_empty() {
                return Ok(());
            }
            self.todo.push_back(range);
        }
        let placement = Placement { space: slot.member().space.clone(), signature: Rc::clone(&maker.signature) };
        while let Some(range) = self.todo.pop_front() {
            for index in range.clone() {
                self.tell(index, EventKind::Placed(placement.clone()));
            }
            let generation = Rc::clone(&shared.order.generation);
            let left = self.deadline().saturating_sub(shared.scheduler.now());
            let work = Work::new(Rc::clone(slot), Rc::clone(station), maker.clone(), generation, range, left);
            self.follow(work, slot, station, waited).await?;
        }
        Ok(())
    }

    /// Follows the making of some images to its end; what is left of them is to be done again.
    async fn follow(
        &mut self,
        mut work: Work,
        slot: &SlotGuard,
        station: &Station,
        waited: Duration,
    ) -> Result<(), End> {
        let begun = Cell::new(false);
        let since = self.shared.scheduler.now();
        let mut due = None;
        loop {
            let step = {
                let mut next = pin!(work.next());
                loop {
                    match select(next.as_mut(), self.shared.scheduler.pause(LOOK)).await {
                        Either::Left((step, _)) => break Some(step),
                        Either::Right(_) if begun.get() => {}
                        Either::Right(_) if self.is_late(slot, since, due) => break None,
                        Either::Right(_) => {}
                    }
                }
            };
            let Some(step) = step else {
                self.put_back(work.left());
                return Err(End::Failed(Failure::Stalled { after: self.shared.scheduler.now().saturating_sub(since) }));
            };
            let step = match step {
                Ok(Some(step)) => step,
                Ok(None) => return Ok(()),
                Err(failure) => {
                    self.put_back(work.left());
                    return Err(End::Failed(failure));
                }
            };
            match step {
                Step::Progress(index, progress) => {
                    self.note(slot, &progress, &begun);
                    if let Progress::Queued(position) = &progress {
                        if self.is_far(slot, *position) {
                            self.put_back(work.left());
                            return Err(End::Left);
                        }
                        due =
                            Some(due.map_or(slot.begins_in(*position), |due: f64| due.max(slot.begins_in(*position))));
                    }
                    self.tell(index, EventKind::Progress(progress));
                }
                Step::Partial(images) => {
                    for (index, image) in images {
                        self.tell(index, EventKind::Partial(image));
                    }
                }
                Step::Made(images, spent) => {
                    begun.set(false);
                    let count = images.len();
                    let broken = self.deliver(images, spent, waited, &station.member.space).await;
                    let Some((broken, failure)) = broken else {
                        slot.succeeded(spent.generate, count);
                        continue;
                    };
                    self.todo.extend(broken.into_iter().map(|index| index..index.saturating_add(1)));
                    self.put_back(work.left());
                    return Err(End::Failed(failure));
                }
            }
        }
    }

    /// Hands images on. Those that can't be are returned, with the reason for the first.
    async fn deliver(
        &self,
        images: Vec<(u32, Box<Image>)>,
        spent: Spent,
        wait: Duration,
        space: &Space,
    ) -> Option<(Vec<u32>, Failure)> {
        let delivered = images.into_iter().map(|(index, image)| async move {
            let begun = self.shared.scheduler.now();
            let outcome = (self.shared.deliver)(index, *image).await;
            let fetch = self.shared.scheduler.now().saturating_sub(begun);
            match outcome {
                Ok(item) => {
                    let timing = Timing { wait, queue: spent.queue, generate: spent.generate, fetch };
                    self.tell(index, EventKind::Made(Made { item, space: space.clone(), timing }));
                    None
                }
                Err(failure) => Some((index, failure)),
            }
        });
        let mut broken = join_all(delivered).await.into_iter().flatten();
        let (first, failure) = broken.next()?;
        Some((std::iter::once(first).chain(broken.map(|(index, _)| index)).collect(), failure))
    }

    /// Takes a job's progress as news of the Space.
    fn note(&self, slot: &SlotGuard, progress: &Progress, begun: &Cell<bool>) {
        match progress {
            Progress::Joined(_) => return,
            Progress::Queued(position) => return slot.queued(*position),
            _ => {}
        }
        if !begun.replace(true) {
            slot.started();
        }
        if let Progress::Step(step) = progress
            && let Some(done) = step.done()
        {
            slot.stepped(done);
        }
    }

    /// Whether a job waits at a Space that doesn't get on with it, though another one might: since `since`, where it
    /// was `due` after so many seconds.
    fn is_late(&self, slot: &SlotGuard, since: Duration, due: Option<f64>) -> bool {
        let waited = self.shared.scheduler.now().saturating_sub(since).as_secs_f64();
        let due = due.unwrap_or_default();
        waited > STALL_RATIO * due + STALL_MARGIN && self.promised(slot).is_some()
    }

    /// In how many seconds the job would be done at another Space, if it began there now.
    fn promised(&self, slot: &SlotGuard) -> Option<f64> {
        let here = &slot.member().space;
        let others: Vec<Candidate> =
            self.candidates().into_iter().filter(|candidate| candidate.member.space != *here).collect();
        self.shared.scheduler.elsewhere(&others, &self.shared.stagger)
    }

    /// Whether another Space promises an end so much earlier that the job should be there.
    fn is_far(&self, slot: &SlotGuard, position: QueuePosition) -> bool {
        let Some(eta) = position.eta.filter(|eta| eta.is_finite()).filter(|_| self.moves < MOVES) else { return false };
        self.promised(slot).is_some_and(|promised| eta > ETA_RATIO * promised + ETA_MARGIN)
    }

    /// Consequence of a failure: another try, or this for the client.
    fn judge(&mut self, verdict: Verdict, failure: Failure, space: String) -> Option<Refusal> {
        if matches!(failure, Failure::Unsupported(_)) {
            self.cannot.get_or_insert(failure);
            return None;
        }
        self.failures.push(Tried { space, failure: failure.clone() });
        let refusal = Refusal::from(self.first.get_or_insert(failure.clone()).clone());
        if !verdict.moves {
            let refusal = Refusal::from(failure);
            if verdict.blame == Blame::Asker {
                // The others of the request would hear the same.
                self.shared.scheduler.dismiss(self.shared.id, &refusal);
            }
            return Some(refusal);
        }
        let several = self.shared.order.stations().len();
        let most = if several > 1 { (2 * several + 2).min(TRIES) } else { 1 };
        // Where there are tokens, a Space with a fresh one is as good as another Space.
        let most = match verdict.blame {
            Blame::Exhausted(_) => {
                most + self.shared.order.stations().iter().map(|one| one.member.space.tokens().len()).sum::<usize>()
            }
            _ => most,
        };
        let is_late = self.shared.scheduler.now() >= self.deadline();
        if matches!(failure, Failure::Crashed | Failure::NoImage) {
            self.unclear += 1;
        }
        if is_late {
            return Some(self.out_of_time());
        }
        let is_over = self.failures.len() >= most || self.unclear >= UNCLEAR;
        if is_over || verdict.has_worked && !self.shared.scheduler.may_repeat() {
            return Some(refusal);
        }
        None
    }

    fn put_back(&mut self, left: Range<u32>) {
        if !left.is_empty() {
            self.todo.push_front(left);
        }
    }

    /// Nothing more can be done: what it has, or the image that it stands for, fails.
    fn give_up(&mut self, refusal: &Refusal) {
        if self.todo.is_empty() {
            self.todo.push_back(self.shared.order.take(1));
        }
        for index in std::mem::take(&mut self.todo).into_iter().flatten() {
            self.tell(index, EventKind::Failed(refusal.clone()));
        }
    }

    /// The image that it tells of.
    fn index(&self) -> u32 {
        self.todo.front().map_or(self.number, |range| range.start)
    }

    fn tell(&self, index: u32, kind: EventKind<T>) {
        // Nobody listens any more only when the worker itself is about to be dropped.
        let _ = self.shared.tell.unbounded_send(Event { index, kind });
    }
}

/// Remembers that it has been at that Space, the last one last.
fn remember(spaces: &mut Vec<Space>, slot: &SlotGuard) {
    spaces.retain(|space| *space != slot.member().space);
    spaces.push(slot.member().space.clone());
}
