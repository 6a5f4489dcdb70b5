//! Worker of a request: gets some of its images made, on one Space after another.
//!
//! A worker waits for a slot at a Space, takes as many images as one job there makes, runs the job and delivers the
//! images. Where the Space fails, it waits for a slot at another one for the remaining images. With several Spaces, it
//! returns to failed ones after all others and after a pause, as one may have restarted by then. A request has
//! `job_timeout` for all waits and attempts together, and an image at most [`MAX_ATTEMPTS`] attempts.
//!
//! A job in a Space's queue moves to another Space in two cases:
//!
//! - the estimate of the Space exceeds twice the forecast of another plus 10 s. That is no failure;
//! - the job has waited three times its expected wait plus 30 s, while another Space has room. That is a failure.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use futures::future::{Either, join_all, select};

use super::crowd::QueueKey;
use super::event::{Deliver, Event, EventKind, Image, Made, Placement, Timing};
use super::plan::RequestPlan;
use super::refusal::{Refusal, Tried};
use super::scheduler::{Candidate, Past, Scheduler, SlotGuard, SlotRequest, Stagger};
use super::session::SpaceSession;
use super::space_run::{SpaceRun, Spent, Step};
use super::verdict::{Blame, Verdict};
use crate::generation::QueuePosition;
use crate::gradio::failure::Failure;
use crate::gradio::job::Progress;
use crate::gradio::space::Space;

/// Ratio of a Space's estimate to another's forecast above which a job moves.
const ETA_RATIO: f64 = 2.0;
/// Margin on top of that ratio, in seconds.
const ETA_MARGIN: f64 = 10.0;
/// First pause before a return to a Space that has failed; doubles each time, up to eightfold.
const PAUSE: Duration = Duration::from_millis(500);
/// Interval of the checks for a stalled queue.
const LOOK: Duration = Duration::from_secs(5);
/// Ratio of a job's wait at a Space to its expected wait above which it moves.
const STALL_RATIO: f64 = 3.0;
/// Margin on top of that ratio, in seconds.
const STALL_MARGIN: f64 = 30.0;
/// Moves of a job for its place in a queue, at most.
const MAX_MOVES: u32 = 2;
/// Failures of a job, at most, that the prompt may have caused as well as the Space.
const MAX_UNCLEAR: u32 = 2;
/// Attempts of an image with several Spaces, at most, those with another token left out.
const MAX_ATTEMPTS: usize = 8;
/// Number of events not taken yet from which on progress isn't emitted.
const MAX_BACKLOG: usize = 32;

/// Context that all workers of a request share.
pub(super) struct WorkerContext<T> {
    pub(super) id: u64,
    /// Arrival of the request, in monotonic time and since the Unix epoch.
    pub(super) since: (Duration, Duration),
    pub(super) place: QueueKey,
    pub(super) caller: Rc<str>,
    /// Set once a job of the request was admitted to the queue.
    pub(super) is_admitted: Rc<Cell<bool>>,
    pub(super) scheduler: Rc<Scheduler>,
    pub(super) plan: RequestPlan,
    pub(super) stagger: Rc<Stagger>,
    pub(super) deliver: Deliver<T>,
    pub(super) events: UnboundedSender<Event<T>>,
    /// Number of events that the request hasn't taken yet.
    pub(super) backlog: Rc<Cell<usize>>,
    /// Set where the request shows previews.
    pub(super) has_previews: bool,
    /// Time limit of the request, waits and attempts included.
    pub(super) limit: Duration,
}

/// One of a request's workers.
pub(super) struct Worker<T> {
    shared: Rc<WorkerContext<T>>,
    /// Number of the worker: index of the image that it stands for until it has taken some.
    number: u32,
    /// Images that it has taken and not made yet.
    todo: VecDeque<Range<u32>>,
    /// Spaces that have failed or that it has left, the latest last.
    tried: Vec<Space>,
    /// Spaces that can't serve the request.
    unfit: Vec<Space>,
    /// First failure of an attempt.
    first: Option<Failure>,
    /// First reason for which a Space can't serve the request.
    cannot: Option<Failure>,
    /// Failed attempts.
    failures: Vec<Tried>,
    unclear: u32,
    moves: u32,
}

/// Reason to leave a slot before all images are made.
enum LeaveReason {
    /// The Space failed.
    Failed(Failure),
    /// The queue of the Space is too long.
    Left,
}

impl<T: 'static> Worker<T> {
    pub(super) fn new(shared: Rc<WorkerContext<T>>, number: u32) -> Self {
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

    /// Makes images until none are left for this worker.
    pub(super) async fn run(mut self) {
        self.shared.scheduler.deposit();
        while !(self.todo.is_empty() && self.shared.plan.pending() == 0) {
            let slot = match self.slot().await {
                Ok(slot) => Rc::new(slot),
                Err(refusal) => return self.give_up(&refusal),
            };
            match self.use_slot(&slot).await {
                Ok(()) if self.todo.is_empty() => return,
                Ok(()) => {}
                Err(LeaveReason::Left) => {
                    self.moves += 1;
                    remember(&mut self.tried, &slot);
                }
                Err(LeaveReason::Failed(failure)) => {
                    let verdict = slot.failed(&failure);
                    match (&failure, verdict.blame) {
                        (Failure::Unsupported(_), _) => remember(&mut self.unfit, &slot),
                        // With another token the Space is usable at once.
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
            // All have failed. One that is restarting may need a moment.
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
            priority: shared.plan.generation.priority,
            is_idle: self.todo.is_empty(),
            since: shared.since.1,
            candidates,
            stagger: Rc::clone(&shared.stagger),
        };
        let waits = |before| self.emit(self.index(), EventKind::Waiting { before });
        let slot = shared.scheduler.take(request, self.deadline(), waits).await;
        slot.map_err(|refusal| match (&refusal, &self.first) {
            // A failure of this job explains more than the rest of the other Spaces.
            (Refusal::Resting { .. }, Some(first)) => first.clone().into(),
            (Refusal::NoSlot { .. }, Some(_)) => self.out_of_time(),
            _ => refusal,
        })
    }

    /// Refusal at the end of the request's time, with the failed attempts.
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

    /// Spaces that may make its images.
    fn candidates(&self) -> Vec<Candidate> {
        let plan = &self.shared.plan;
        let fit = plan.sessions().iter().filter(|session| !self.unfit.contains(&session.member.space));
        fit.map(|session| Candidate {
            member: session.member.clone(),
            work: session.work(&plan.generation),
            past: match self.tried.iter().rposition(|space| *space == session.member.space) {
                None => Past::Fresh,
                Some(at) if at + 1 == self.tried.len() => Past::Last,
                Some(_) => Past::Earlier,
            },
        })
        .collect()
    }

    /// Makes images at the Space of `slot`.
    async fn use_slot(&mut self, slot: &Rc<SlotGuard>) -> Result<(), LeaveReason> {
        let shared = Rc::clone(&self.shared);
        let waited = shared.scheduler.now().saturating_sub(shared.since.0);
        let sessions = shared.plan.sessions();
        let Some(session) = sessions.iter().find(|session| session.member.space == slot.member().space) else {
            return Err(LeaveReason::Failed(Failure::NoImage));
        };
        let call = session.call().await.map_err(LeaveReason::Failed)?;
        if self.todo.is_empty() {
            let range = shared.plan.take(call.at_once(shared.plan.pending()));
            if shared.plan.pending() == 0 {
                shared.scheduler.dismiss_idle(shared.id);
            }
            if range.is_empty() {
                return Ok(());
            }
            self.todo.push_back(range);
        }
        let placement = Placement { space: slot.member().space.clone(), signature: Rc::clone(&call.signature) };
        while let Some(range) = self.todo.pop_front() {
            for index in range.clone() {
                self.emit(index, EventKind::Placed(placement.clone()));
            }
            let generation = Rc::clone(&shared.plan.generation);
            let left = self.deadline().saturating_sub(shared.scheduler.now());
            let work = SpaceRun::new(Rc::clone(slot), Rc::clone(session), call.clone(), generation, range, left)
                .with_previews(shared.has_previews);
            self.follow(work, slot, session, waited).await?;
        }
        Ok(())
    }

    /// Follows a run to its end. Images that it leaves go back to the todo list.
    async fn follow(
        &mut self,
        mut work: SpaceRun,
        slot: &SlotGuard,
        session: &SpaceSession,
        waited: Duration,
    ) -> Result<(), LeaveReason> {
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
                        Either::Right(_) if self.is_stalled(slot, since, due) => break None,
                        Either::Right(_) => {}
                    }
                }
            };
            let Some(step) = step else {
                self.put_back(work.left());
                return Err(LeaveReason::Failed(Failure::Stalled {
                    after: self.shared.scheduler.now().saturating_sub(since),
                }));
            };
            let step = match step {
                Ok(Some(step)) => step,
                Ok(None) => return Ok(()),
                Err(failure) => {
                    self.put_back(work.left());
                    return Err(LeaveReason::Failed(failure));
                }
            };
            match step {
                Step::Progress(index, progress) => {
                    self.note(slot, &progress, &begun);
                    if let Progress::Queued(position) = &progress {
                        if self.should_move(slot, *position) {
                            self.put_back(work.left());
                            return Err(LeaveReason::Left);
                        }
                        due =
                            Some(due.map_or(slot.begins_in(*position), |due: f64| due.max(slot.begins_in(*position))));
                    }
                    self.emit(index, EventKind::Progress(progress));
                }
                Step::Partial(images) => {
                    for (index, image) in images {
                        self.emit(index, EventKind::Partial(image));
                    }
                }
                Step::Made(images, spent) => {
                    begun.set(false);
                    let count = images.len();
                    let broken = self.deliver(images, spent, waited, &session.member.space).await;
                    let Some((broken, failure)) = broken else {
                        slot.succeeded(spent.generate, count);
                        continue;
                    };
                    self.todo.extend(broken.into_iter().map(|index| index..index.saturating_add(1)));
                    self.put_back(work.left());
                    return Err(LeaveReason::Failed(failure));
                }
            }
        }
    }

    /// Delivers images. Returns those that can't be delivered, with the failure of the first.
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
                    self.emit(index, EventKind::Made(Made { item, space: space.clone(), timing }));
                    None
                }
                Err(failure) => Some((index, failure)),
            }
        });
        let mut broken = join_all(delivered).await.into_iter().flatten();
        let (first, failure) = broken.next()?;
        Some((std::iter::once(first).chain(broken.map(|(index, _)| index)).collect(), failure))
    }

    /// Updates the state of the Space by a job's progress.
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

    /// True where a job that has waited since `since`, with `due` seconds expected, is stalled while another Space has
    /// room.
    fn is_stalled(&self, slot: &SlotGuard, since: Duration, due: Option<f64>) -> bool {
        let waited = self.shared.scheduler.now().saturating_sub(since).as_secs_f64();
        let due = due.unwrap_or_default();
        waited > STALL_RATIO * due + STALL_MARGIN && self.best_elsewhere(slot).is_some()
    }

    /// Forecast of the job at the best other Space with room, in seconds.
    fn best_elsewhere(&self, slot: &SlotGuard) -> Option<f64> {
        let here = &slot.member().space;
        let others: Vec<Candidate> =
            self.candidates().into_iter().filter(|candidate| candidate.member.space != *here).collect();
        self.shared.scheduler.elsewhere(&others, &self.shared.stagger)
    }

    /// True where another Space's forecast is so much earlier that the job should move there.
    fn should_move(&self, slot: &SlotGuard, position: QueuePosition) -> bool {
        let Some(eta) = position.eta.filter(|eta| eta.is_finite()).filter(|_| self.moves < MAX_MOVES) else {
            return false;
        };
        self.best_elsewhere(slot).is_some_and(|promised| eta > ETA_RATIO * promised + ETA_MARGIN)
    }

    /// Decides on a failure: none for another attempt, or the refusal for the client.
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
                // The request's other jobs would fail alike.
                self.shared.scheduler.dismiss(self.shared.id, &refusal);
            }
            return Some(refusal);
        }
        let several = self.shared.plan.sessions().len();
        let most = if several > 1 { (2 * several + 2).min(MAX_ATTEMPTS) } else { 1 };
        // A Space with another token counts as another Space.
        let most = match verdict.blame {
            Blame::Exhausted(_) => {
                most + self.shared.plan.sessions().iter().map(|one| one.member.space.tokens().len()).sum::<usize>()
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
        let is_over = self.failures.len() >= most || self.unclear >= MAX_UNCLEAR;
        if is_over || verdict.has_worked && !self.shared.scheduler.withdraw_retry() {
            return Some(refusal);
        }
        None
    }

    fn put_back(&mut self, left: Range<u32>) {
        if !left.is_empty() {
            self.todo.push_front(left);
        }
    }

    /// Fails the images that it has taken, or the one that it stands for.
    fn give_up(&mut self, refusal: &Refusal) {
        if self.todo.is_empty() {
            self.todo.push_back(self.shared.plan.take(1));
        }
        for index in std::mem::take(&mut self.todo).into_iter().flatten() {
            self.emit(index, EventKind::Failed(refusal.clone()));
        }
    }

    /// Index of the image that its events are about.
    fn index(&self) -> u32 {
        self.todo.front().map_or(self.number, |range| range.start)
    }

    /// Emits an event, but for news that a later one replaces where the request doesn't keep up with them.
    fn emit(&self, index: u32, kind: EventKind<T>) {
        let backlog = &self.shared.backlog;
        if kind.is_passing() && backlog.get() >= MAX_BACKLOG {
            return;
        }
        backlog.set(backlog.get() + 1);
        // The receiver is gone only when the worker itself is about to be dropped.
        let _ = self.shared.events.unbounded_send(Event { index, kind });
    }
}

/// Moves the Space of `slot` to the end of the list.
fn remember(spaces: &mut Vec<Space>, slot: &SlotGuard) {
    spaces.retain(|space| *space != slot.member().space);
    spaces.push(slot.member().space.clone());
}
