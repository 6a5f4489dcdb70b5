//! Worker of a request: gets some of its images made, on one Space after another.
//!
//! A worker waits for a slot at a Space, takes as many images as one job there makes, runs the job and delivers the
//! images. Images that the job should have made and hasn't go back to the [`plan`](super::plan), for whichever worker
//! has a slot first; images that it has made beyond its own are those that have no job yet. Where the Space fails, the
//! worker waits for a slot at another one for the remaining images. With several Spaces, it returns to failed ones
//! after all others and after a pause, as one may have restarted by then. A request has `job_timeout` for all waits and
//! attempts together; [`attempts`](super::attempts) bounds their number.
//!
//! A job in a Space's queue moves to another Space in two cases:
//!
//! - the estimate of the Space exceeds twice the forecast of another plus 10 s. That is no failure;
//! - the job has waited three times its expected wait plus 30 s, while another Space has room. That is a failure.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, join_all, select};

use super::attempts::{Attempts, FailedAt, most_worked};
use super::crowd::QueueKey;
use super::event::{Deliver, Event, EventKind, Image, Made, Placement, Timing};
use super::event_channel::EventSender;
use super::plan::RequestPlan;
use super::refusal::{Refusal, Tried};
use super::scheduler::{Candidate, Past, Scheduler, SlotGuard, SlotRequest, Stagger};
use super::session::SpaceSession;
use super::space_run::{SpaceRun, Spent, Step};
use super::verdict::{Blame, Verdict};
use crate::generation::QueuePosition;
use crate::gradio::failure::Failure;
use crate::gradio::job::Progress;
use crate::gradio::limits::Limits;
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
    pub(super) events: EventSender<T>,
    /// Number of attempts of all its images that ended after work.
    pub(super) worked: Cell<usize>,
    /// Spaces that have failed as trials, with the first failure of all.
    pub(super) failed_probes: RefCell<Vec<(Space, Failure)>>,
    /// Set where the client follows the places of its jobs in the queue.
    pub(super) is_followed: bool,
    /// Set where the request shows previews.
    pub(super) has_previews: bool,
    /// Time limits: a job's is that of the request, waits and attempts included.
    pub(super) limits: Limits,
}

/// One of a request's workers.
pub(super) struct Worker<T> {
    shared: Rc<WorkerContext<T>>,
    /// Number of the worker: index of the image that it stands for until it has taken some.
    number: u32,
    /// Images that it has taken and not made yet.
    todo: VecDeque<Range<u32>>,
    /// Attempts for them so far.
    attempts: Attempts,
}

/// Course of a job at its Space.
#[derive(Default)]
struct JobWatch {
    /// Time at which it joined the queue, monotonic.
    joined: Option<Duration>,
    /// Expected wait, in seconds.
    due: Option<f64>,
    has_begun: bool,
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
        Self { shared, number, todo: VecDeque::new(), attempts: Attempts::default() }
    }

    /// Makes images until all of the request have ended.
    pub(super) async fn run(mut self) {
        self.shared.scheduler.deposit();
        loop {
            if self.todo.is_empty() {
                self.shared.plan.images.change().await;
                if self.shared.plan.images.has_ended() {
                    return;
                }
            }
            let slot = match self.slot().await {
                Ok(slot) => Rc::new(slot),
                // All images have a job by now.
                Err(_) if self.todo.is_empty() && self.shared.plan.images.pending() == 0 => continue,
                Err(refusal) => return self.give_up(&refusal),
            };
            if slot.is_probe() && self.has_failed_trial(&slot.member().space) {
                continue;
            }
            match self.use_slot(&slot).await {
                Ok(()) => {}
                Err(LeaveReason::Left) => self.attempts.left(&slot.member().space),
                Err(LeaveReason::Failed(failure)) => {
                    let verdict = slot.failed(&failure);
                    let refusal = self.judge(&slot, &verdict, failure);
                    drop(slot);
                    if let Some(refusal) = refusal {
                        return self.give_up(&refusal);
                    }
                }
            }
        }
    }

    /// End of the request's time, in monotonic time.
    fn deadline(&self) -> Duration {
        self.shared.since.0.saturating_add(self.shared.limits.job)
    }

    /// Waits for a slot.
    async fn slot(&self) -> Result<SlotGuard, Refusal> {
        let candidates = self.candidates();
        let shared = &self.shared;
        if candidates.is_empty() {
            let why = self.attempts.why_none_is_left();
            let of_others = || shared.failed_probes.borrow().first().map(|(at, why)| Tried::new(at, why.clone()));
            return Err(why.or_else(of_others).map_or_else(|| Failure::NoImage.into(), Refusal::from));
        }
        if candidates.iter().all(|candidate| candidate.past != Past::Fresh) {
            // All have failed. One that is restarting may need a moment.
            let again = self.attempts.count().saturating_sub(candidates.len());
            let again = u32::try_from(again).unwrap_or(u32::MAX).min(3);
            shared.scheduler.pause(PAUSE.saturating_mul(1 << again)).await;
        }
        let request = SlotRequest {
            request: shared.id,
            place: shared.place.clone(),
            caller: Rc::clone(&shared.caller),
            is_admitted: Rc::clone(&shared.is_admitted),
            priority: shared.plan.generation.priority,
            is_followed: shared.is_followed,
            is_idle: self.todo.is_empty(),
            since: shared.since.1,
            candidates,
            stagger: Rc::clone(&shared.stagger),
        };
        let waits = |before| self.emit(self.index(), EventKind::Waiting { before });
        let slot = shared.scheduler.take(request, self.deadline(), waits).await;
        slot.map_err(|refusal| match (&refusal, self.attempts.first()) {
            // A failure of this job explains more than the rest of the other Spaces.
            (Refusal::Resting { .. }, Some(first)) => first.clone().into(),
            (Refusal::NoSlot { .. }, Some(_)) => self.out_of_time(),
            _ => refusal,
        })
    }

    /// Refusal at the end of the request's time, with the failed attempts.
    fn out_of_time(&self) -> Refusal {
        let tried = self.attempts.failures();
        match tried.last() {
            Some(last) => Refusal::OutOfTime {
                last: Box::new(last.clone()),
                after: self.shared.limits.job,
                tried: tried.to_vec(),
            },
            None => Refusal::NoSlot { after: self.shared.limits.job },
        }
    }

    /// Spaces that may make its images.
    fn candidates(&self) -> Vec<Candidate> {
        let plan = &self.shared.plan;
        let candidate = |session: &Rc<SpaceSession>| {
            let past =
                self.attempts.past(&session.member.space).filter(|_| !self.has_failed_trial(&session.member.space))?;
            Some(Candidate { member: session.member.clone(), work: session.work(&plan.generation), past })
        };
        plan.sessions().iter().filter_map(candidate).collect()
    }

    /// True where a trial of `space` has failed, of whichever of the request's images: another would fail alike.
    fn has_failed_trial(&self, space: &Space) -> bool {
        self.shared.failed_probes.borrow().iter().any(|(failed, _)| failed == space)
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
        let images = &shared.plan.images;
        if self.todo.is_empty() {
            let range = images.take(session.at_once(&call, images.pending()));
            self.dismiss_idle();
            self.put_back(range);
        }
        let placement = Placement { space: slot.member().space.clone(), signature: Rc::clone(&call.signature) };
        while let Some(range) = self.todo.pop_front() {
            // What one job here doesn't make is anybody's.
            let most = session.at_once(&call, range.end - range.start);
            let (range, rest) = split(range, most);
            images.put_back(rest);
            for index in range.clone() {
                self.emit(index, EventKind::Placed(placement.clone()));
            }
            let generation = Rc::clone(&shared.plan.generation);
            let left = self.deadline().saturating_sub(shared.scheduler.now());
            let work = SpaceRun::new(Rc::clone(slot), Rc::clone(session), call.clone(), generation, range, left)
                .with_previews(shared.has_previews);
            let (made, spent) = self.follow(work, slot).await?;
            self.take(made, spent, waited, slot, &placement).await?;
        }
        self.attempts = Attempts::default();
        Ok(())
    }

    /// Follows a job to its end. Returns its images, the first of which have those indexes, and its durations.
    async fn follow(&mut self, mut work: SpaceRun, slot: &SlotGuard) -> Result<(JobImages, Spent), LeaveReason> {
        let mut watch = JobWatch::default();
        loop {
            let step = {
                let mut next = pin!(work.next());
                loop {
                    match select(next.as_mut(), self.shared.scheduler.pause(LOOK)).await {
                        Either::Left((step, _)) => break Some(step),
                        Either::Right(_) if self.is_stalled(slot, &watch) => break None,
                        Either::Right(_) => {}
                    }
                }
            };
            let failure = match step {
                Some(Ok(Step::Progress(index, progress))) => {
                    self.note(slot, &progress, &mut watch);
                    if let Progress::Queued(position) = &progress
                        && self.should_move(slot, *position)
                    {
                        self.put_back(work.wanted());
                        return Err(LeaveReason::Left);
                    }
                    self.emit(index, EventKind::Progress(progress));
                    continue;
                }
                Some(Ok(Step::Partial(images))) => {
                    for (index, image) in images {
                        self.emit(index, EventKind::Partial(image));
                    }
                    continue;
                }
                Some(Ok(Step::Made(images, spent))) => return Ok(((work.wanted(), images), spent)),
                Some(Err(failure)) => failure,
                None => Failure::Stalled { after: self.waited(&watch) },
            };
            self.put_back(work.wanted());
            return Err(LeaveReason::Failed(failure));
        }
    }

    /// Takes the images of a job: delivers those that are wanted, and gives back what it hasn't made.
    async fn take(
        &mut self,
        (wanted, made): JobImages,
        spent: Spent,
        waited: Duration,
        slot: &SlotGuard,
        placement: &Placement,
    ) -> Result<(), LeaveReason> {
        let shared = Rc::clone(&self.shared);
        let sessions = shared.plan.sessions();
        let session = sessions.iter().find(|session| session.member.space == placement.space);
        let count = u32::try_from(made.len()).unwrap_or(u32::MAX);
        let (own, missing) = split(wanted, count);
        shared.plan.images.put_back(missing);
        let mut indexes: Vec<u32> = own.collect();
        while indexes.len() < made.len() {
            let further = u32::try_from(made.len() - indexes.len()).unwrap_or(u32::MAX);
            let range = shared.plan.images.take(further);
            if range.is_empty() {
                break;
            }
            for index in range.clone() {
                self.emit(index, EventKind::Placed(placement.clone()));
            }
            indexes.extend(range);
        }
        self.dismiss_idle();
        let work = session.map_or(0.0, |session| session.made(&shared.plan.generation, count, indexes.len()));
        let images: Vec<_> = indexes.into_iter().zip(made).collect();
        match self.deliver(images, spent, waited, &placement.space).await {
            None => {
                slot.succeeded(work, spent.generate);
                Ok(())
            }
            Some((broken, failure)) => {
                self.todo.extend(broken.into_iter().map(|index| index..index.saturating_add(1)));
                Err(LeaveReason::Failed(failure))
            }
        }
    }

    /// Lets workers without images wait for no slot where all images have a job.
    fn dismiss_idle(&self) {
        if self.shared.plan.images.pending() == 0 {
            self.shared.scheduler.dismiss_idle(self.shared.id);
        }
    }

    /// Delivers images until the request's deadline, or for `idle_timeout` where that is later. Returns those that
    /// can't be delivered, with the failure of the first.
    async fn deliver(
        &self,
        images: Vec<(u32, Image)>,
        spent: Spent,
        wait: Duration,
        space: &Space,
    ) -> Option<(Vec<u32>, Failure)> {
        let left = self.deadline().saturating_sub(self.shared.scheduler.now()).max(self.shared.limits.idle);
        let delivered = images.into_iter().map(|(index, image)| async move {
            let begun = self.shared.scheduler.now();
            let outcome = match select((self.shared.deliver)(index, image), self.shared.scheduler.pause(left)).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => Err(Failure::Overdue { after: self.shared.limits.job }),
            };
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

    /// Updates the state of the Space, and what is known of the job, by its progress.
    fn note(&self, slot: &SlotGuard, progress: &Progress, watch: &mut JobWatch) {
        match progress {
            Progress::Joined(_) => {
                *watch = JobWatch { joined: Some(self.shared.scheduler.now()), ..JobWatch::default() };
                return;
            }
            Progress::Queued(position) => {
                let due = slot.begins_in(*position);
                watch.due = Some(watch.due.map_or(due, |known| known.max(due)));
                return slot.queued(*position);
            }
            _ => {}
        }
        if !std::mem::replace(&mut watch.has_begun, true) {
            slot.started();
        }
        if let Progress::Step(step) = progress
            && let Some(done) = step.done()
        {
            slot.stepped(done);
        }
    }

    /// Time that a job has been in its queue.
    fn waited(&self, watch: &JobWatch) -> Duration {
        watch.joined.map_or(Duration::ZERO, |joined| self.shared.scheduler.now().saturating_sub(joined))
    }

    /// True where a job has waited for far longer than it should have, while another Space has room.
    fn is_stalled(&self, slot: &SlotGuard, watch: &JobWatch) -> bool {
        let most = STALL_RATIO * watch.due.unwrap_or_default() + STALL_MARGIN;
        !watch.has_begun && self.waited(watch).as_secs_f64() > most && self.best_elsewhere(slot).is_some()
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
        let Some(eta) = position.eta.filter(|eta| eta.is_finite()).filter(|_| self.attempts.may_move()) else {
            return false;
        };
        self.best_elsewhere(slot).is_some_and(|promised| eta > ETA_RATIO * promised + ETA_MARGIN)
    }

    /// Decides on a failure: none for another attempt, or the refusal for the client.
    fn judge(&mut self, slot: &SlotGuard, verdict: &Verdict, failure: Failure) -> Option<Refusal> {
        let space = &slot.member().space;
        if matches!(failure, Failure::Unsupported(_)) {
            self.attempts.unsupported(space, failure);
            return None;
        }
        let at = FailedAt { space, has_token: slot.token().is_some(), is_probe: slot.is_probe() };
        let refusal = Refusal::from(self.attempts.failed(&at, &failure, verdict));
        if !verdict.moves {
            let refusal = Refusal::from(Tried::new(space, failure));
            if verdict.blame == Blame::Asker {
                // The request's other jobs would fail alike.
                self.shared.scheduler.dismiss(self.shared.id, &refusal);
            }
            return Some(refusal);
        }
        if self.shared.scheduler.now() >= self.deadline() {
            return Some(self.out_of_time());
        }
        let plan = &self.shared.plan;
        let spaces = plan.sessions().len();
        // A Space with another token counts as another Space.
        let tokens = match verdict.blame {
            Blame::Exhausted(_) => plan.sessions().iter().map(|one| one.member.space.tokens().len()).sum(),
            _ => 0,
        };
        let mut is_over = self.attempts.are_over(spaces, tokens);
        if verdict.has_worked {
            if at.is_probe {
                self.shared.failed_probes.borrow_mut().push((space.clone(), failure));
            }
            self.shared.worked.set(self.shared.worked.get().saturating_add(1));
            is_over |= self.shared.worked.get() >= most_worked(spaces, plan.generation.count);
            is_over = is_over || !self.shared.scheduler.withdraw_retry();
        }
        is_over.then_some(refusal)
    }

    fn put_back(&mut self, left: Range<u32>) {
        if !left.is_empty() {
            self.todo.push_front(left);
        }
    }

    /// Fails the images that it has taken, or the one that it stands for.
    fn give_up(&mut self, refusal: &Refusal) {
        if self.todo.is_empty() {
            self.todo.push_back(self.shared.plan.images.take(1));
        }
        for index in std::mem::take(&mut self.todo).into_iter().flatten() {
            self.emit(index, EventKind::Failed(refusal.clone()));
        }
    }

    /// Index of the image that its events are about.
    fn index(&self) -> u32 {
        self.todo.front().map_or(self.number, |range| range.start)
    }

    fn emit(&self, index: u32, kind: EventKind<T>) {
        if matches!(kind, EventKind::Made(_) | EventKind::Failed(_)) {
            self.shared.plan.images.end_one();
        }
        self.shared.events.send(Event { index, kind });
    }
}

/// Indexes of the images that a job was to make, and the images that it has made.
type JobImages = (Range<u32>, Vec<Image>);

/// The first `most` of a range, and the rest.
fn split(range: Range<u32>, most: u32) -> (Range<u32>, Range<u32>) {
    let middle = range.start.saturating_add(most).min(range.end);
    (range.start..middle, middle..range.end)
}
