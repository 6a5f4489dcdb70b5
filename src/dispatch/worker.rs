//! Making some of a request's images, on one Space after another until they are made or nothing more can be done.
//!
//! A worker waits for a turn at a Space, takes as many of the request's images as one job there makes, and sees them through: job, images, delivery. Where the Space fails them, it waits for a turn at another,
//! with what is left. Where a model has several Spaces, it may come back to those that have failed, after all the others and after a pause: by then
//! one that was restarted may be back. No try begins later than `job_timeout` after the first.
//!
//! A job that waits in a Space's queue is moved where that Space's own estimate is more than twice what another promises, and ten seconds more; and where it
//! has waited three times as long as it should have, and half a minute more, while another has room. The first says nothing of the Space, the second is a failure.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use futures::future::{Either, join_all, select};

use super::board::{Candidate, Past, Stagger, Wish};
use super::order::{Order, Station};
use super::refusal::Refusal;
use super::turns::{Held, Turns};
use super::verdict::{Blame, Verdict};
use super::work::{Spent, Step, Work};
use super::{Deliver, Event, EventKind, Made, Placement, Timing};
use crate::gradio::failure::Failure;
use crate::gradio::job::Progress;
use crate::gradio::message::QueuePosition;
use crate::gradio::space::Space;

/// A job is moved where the Space's estimate is so many times what another promises,
const FAR: f64 = 2.0;
/// and so many seconds more.
const FARTHER: f64 = 10.0;
/// How long a job waits before it goes to a Space again that has failed it, the first time; then twice as long each time, up to eight times.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked at whether a Space is getting on with a job that waits there.
const LOOK: Duration = Duration::from_secs(5);
/// A job that waits at a Space is moved after so many times what it should have waited,
const LATE: f64 = 3.0;
/// and so many seconds more.
const LATER: f64 = 30.0;
/// How often a job is moved for its place in a queue.
const MOVES: u32 = 2;
/// How many failures that may be the prompt's as well as the Space's a job is moved for.
const UNCLEAR: u32 = 2;

/// What all workers of a request share.
pub(super) struct Shared<T> {
    pub(super) id: u64,
    /// When it came, in monotonic time and since the Unix epoch.
    pub(super) since: (Duration, Duration),
    pub(super) turns: Rc<Turns>,
    pub(super) order: Order,
    pub(super) stagger: Rc<Stagger>,
    pub(super) deliver: Deliver<T>,
    pub(super) tell: UnboundedSender<Event<T>>,
    /// How long a job may take, and how long one may wait for its turn.
    pub(super) limit: Duration,
}

/// One of a request's workers.
pub(super) struct Worker<T> {
    shared: Rc<Shared<T>>,
    /// Which: until it has taken images, it stands for the one of that number.
    number: u32,
    /// What it is to make.
    todo: VecDeque<Range<u32>>,
    /// The Spaces that have failed it, or that it has left.
    tried: Vec<Space>,
    /// Those that can't do what is wanted.
    unfit: Vec<Space>,
    /// Why the first of them did.
    first: Option<Failure>,
    /// Why the first of those can't.
    cannot: Option<Failure>,
    tries: usize,
    unclear: u32,
    moves: u32,
    /// When it first had a turn.
    began: Option<Duration>,
}

/// Why a turn ended before all images were made.
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
            tries: 0,
            unclear: 0,
            moves: 0,
            began: None,
        }
    }

    /// Makes images until there are none left for it.
    pub(super) async fn run(mut self) {
        self.shared.turns.pay_in();
        while !(self.todo.is_empty() && self.shared.order.pending() == 0) {
            let held = match self.turn().await {
                Ok(held) => Rc::new(held),
                Err(refusal) => return self.give_up(&refusal),
            };
            let began = *self.began.get_or_insert(self.shared.turns.now());
            match self.use_turn(&held).await {
                Ok(()) if self.todo.is_empty() => return,
                Ok(()) => {}
                Err(End::Left) => {
                    self.moves += 1;
                    remember(&mut self.tried, &held);
                }
                Err(End::Failed(failure)) => {
                    let verdict = held.failed(&failure);
                    match (&failure, verdict.blame) {
                        (Failure::Unsupported(_), _) => remember(&mut self.unfit, &held),
                        // With another token it is as good as new.
                        (_, Blame::Exhausted(_)) if held.token().is_some() => {}
                        _ => remember(&mut self.tried, &held),
                    }
                    drop(held);
                    if let Some(refusal) = self.judge(verdict, failure, began) {
                        return self.give_up(&refusal);
                    }
                }
            }
        }
    }

    /// Waits for a turn.
    async fn turn(&self) -> Result<Held, Refusal> {
        let candidates = self.candidates();
        if candidates.iter().all(|candidate| candidate.past != Past::Fresh) {
            // All have failed it. One that was restarted may need a moment.
            let again = u32::try_from(self.tries.saturating_sub(candidates.len())).unwrap_or(u32::MAX).min(3);
            self.shared.turns.pause(PAUSE.saturating_mul(1 << again)).await;
        }
        if candidates.is_empty() {
            let why = self.first.clone().or_else(|| self.cannot.clone());
            return Err(why.unwrap_or(Failure::NoImage).into());
        }
        let shared = &self.shared;
        let wish = Wish {
            request: shared.id,
            priority: shared.order.generation.priority,
            is_idle: self.todo.is_empty(),
            since: shared.since.1,
            candidates,
            stagger: Rc::clone(&shared.stagger),
        };
        let waits = |before| self.tell(self.index(), EventKind::Waiting { before });
        let turn = shared.turns.take(wish, shared.limit, waits).await;
        turn.map_err(|refusal| match (&refusal, &self.first) {
            // What a Space said of this very job tells more than that the others rest.
            (Refusal::Resting { .. } | Refusal::NoTurn { .. }, Some(first)) => first.clone().into(),
            _ => refusal,
        })
    }

    /// The Spaces that may make its images.
    fn candidates(&self) -> Vec<Candidate> {
        let order = &self.shared.order;
        let fit = order.stations().iter().filter(|station| !self.unfit.contains(&station.seat.space));
        fit.map(|station| Candidate {
            seat: station.seat.clone(),
            work: station.work(&order.generation),
            past: match self.tried.iter().rposition(|space| *space == station.seat.space) {
                None => Past::Fresh,
                Some(at) if at + 1 == self.tried.len() => Past::Last,
                Some(_) => Past::Earlier,
            },
        })
        .collect()
    }

    /// Makes what it can at the Space whose turn it has.
    async fn use_turn(&mut self, held: &Rc<Held>) -> Result<(), End> {
        let shared = Rc::clone(&self.shared);
        let waited = shared.turns.now().saturating_sub(shared.since.0);
        let stations = shared.order.stations();
        let Some(station) = stations.iter().find(|station| station.seat.space == held.seat().space) else {
            return Err(End::Failed(Failure::NoImage));
        };
        let maker = station.maker().await.map_err(End::Failed)?;
        if self.todo.is_empty() {
            let range = shared.order.take(maker.at_once(shared.order.pending()));
            if shared.order.pending() == 0 {
                shared.turns.dismiss_idle(shared.id);
            }
            if range.is_empty() {
                return Ok(());
            }
            self.todo.push_back(range);
        }
        let placement = Placement { space: held.seat().space.clone(), signature: Rc::clone(&maker.signature) };
        while let Some(range) = self.todo.pop_front() {
            for index in range.clone() {
                self.tell(index, EventKind::Placed(placement.clone()));
            }
            let generation = Rc::clone(&shared.order.generation);
            let work = Work::new(Rc::clone(held), Rc::clone(station), maker.clone(), generation, range);
            self.follow(work, held, station, waited).await?;
        }
        Ok(())
    }

    /// Follows the making of some images to its end; what is left of them is to be done again.
    async fn follow(&mut self, mut work: Work, held: &Held, station: &Station, waited: Duration) -> Result<(), End> {
        let begun = Cell::new(false);
        let since = self.shared.turns.now();
        let mut due = None;
        loop {
            let step = {
                let mut next = pin!(work.next());
                loop {
                    match select(next.as_mut(), self.shared.turns.pause(LOOK)).await {
                        Either::Left((step, _)) => break Some(step),
                        Either::Right(_) if begun.get() => {}
                        Either::Right(_) if self.is_late(held, since, due) => break None,
                        Either::Right(_) => {}
                    }
                }
            };
            let Some(step) = step else {
                self.put_back(work.left());
                return Err(End::Failed(Failure::Stalled { after: self.shared.turns.now().saturating_sub(since) }));
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
                    self.note(held, &progress, &begun);
                    if let Progress::Queued(position) = &progress {
                        if self.is_far(held, *position) {
                            self.put_back(work.left());
                            return Err(End::Left);
                        }
                        due =
                            Some(due.map_or(held.begins_in(*position), |due: f64| due.max(held.begins_in(*position))));
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
                    let broken = self.deliver(images, spent, waited, &station.seat.space).await;
                    let Some((broken, failure)) = broken else {
                        held.succeeded(spent.generate, count);
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
        images: Vec<(u32, Box<super::Image>)>,
        spent: Spent,
        wait: Duration,
        space: &Space,
    ) -> Option<(Vec<u32>, Failure)> {
        let delivered = images.into_iter().map(|(index, image)| async move {
            let begun = self.shared.turns.now();
            let outcome = (self.shared.deliver)(index, *image).await;
            let fetch = self.shared.turns.now().saturating_sub(begun);
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

    /// What a Space says of a job says something of the Space.
    fn note(&self, held: &Held, progress: &Progress, begun: &Cell<bool>) {
        match progress {
            Progress::Joined(_) => return,
            Progress::Queued(position) => return held.queued(*position),
            _ => {}
        }
        if !begun.replace(true) {
            held.started();
        }
        if let Progress::Step(step) = progress
            && let Some(done) = step.done()
        {
            held.stepped(done);
        }
    }

    /// Whether a job waits at a Space that doesn't get on with it, though another one might: since `since`, where it was `due` after so many seconds.
    fn is_late(&self, held: &Held, since: Duration, due: Option<f64>) -> bool {
        let waited = self.shared.turns.now().saturating_sub(since).as_secs_f64();
        let due = due.unwrap_or_default();
        waited > LATE * due + LATER && self.promised(held).is_some()
    }

    /// In how many seconds the job would be done at another Space, if it began there now.
    fn promised(&self, held: &Held) -> Option<f64> {
        let here = &held.seat().space;
        let others: Vec<Candidate> =
            self.candidates().into_iter().filter(|candidate| candidate.seat.space != *here).collect();
        self.shared.turns.elsewhere(&others, &self.shared.stagger)
    }

    /// Whether another Space promises an end so much earlier that the job should be there.
    fn is_far(&self, held: &Held, position: QueuePosition) -> bool {
        let Some(eta) = position.eta.filter(|eta| eta.is_finite()).filter(|_| self.moves < MOVES) else { return false };
        self.promised(held).is_some_and(|promised| eta > FAR * promised + FARTHER)
    }

    /// What follows from a failure: another try, or this for the client.
    fn judge(&mut self, verdict: Verdict, failure: Failure, began: Duration) -> Option<Refusal> {
        if matches!(failure, Failure::Unsupported(_)) {
            self.cannot.get_or_insert(failure);
            return None;
        }
        self.tries += 1;
        let refusal = Refusal::from(self.first.get_or_insert(failure.clone()).clone());
        if !verdict.moves {
            let refusal = Refusal::from(failure);
            if verdict.blame == Blame::Asker {
                // The others of the request would hear the same.
                self.shared.turns.dismiss(self.shared.id, &refusal);
            }
            return Some(refusal);
        }
        let several = self.shared.order.stations().len();
        let most = if several > 1 { 2 * several + 2 } else { 1 };
        // Where there are tokens, a Space with a fresh one is as good as another Space.
        let most = match verdict.blame {
            Blame::Exhausted(_) => {
                most + self.shared.order.stations().iter().map(|one| one.seat.space.tokens().len()).sum::<usize>()
            }
            _ => most,
        };
        let is_late = self.shared.turns.now().saturating_sub(began) >= self.shared.limit;
        if matches!(failure, Failure::Crashed | Failure::NoImage) {
            self.unclear += 1;
        }
        let is_over = self.tries >= most || is_late || self.unclear >= UNCLEAR;
        if is_over || verdict.has_worked && !self.shared.turns.may_repeat() {
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
fn remember(spaces: &mut Vec<Space>, held: &Held) {
    spaces.retain(|space| *space != held.seat().space);
    spaces.push(held.seat().space.clone());
}
