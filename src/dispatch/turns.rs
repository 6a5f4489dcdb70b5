//! Waiting for a turn at a Space, holding it, and telling what came of it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, LocalBoxFuture, join_all, select};

use super::Policy;
use super::board::{Answer, Board, Candidate, Outcome, Stagger, Turn, Wish};
use super::budget::Budget;
use super::condition::Uncounted;
use super::condition::{self, Cause, Condition};
use super::refusal::Refusal;
use super::site::begins_in;
use super::verdict::{Blame, Verdict};
use crate::gradio::failure::Failure;
use crate::gradio::message::QueuePosition;
use crate::gradio::space::{Origin, Token};
use crate::platform::{Outside, random_bytes};

/// What is known of Spaces is read from the store again after so long.
const REREAD: Duration = Duration::from_secs(10);
/// What has changed is written to it after so long.
const WRITE_AFTER: Duration = Duration::from_secs(2);

/// The turns of all requests of an instance.
pub(super) struct Turns {
    outside: Outside,
    policy: Policy,
    board: RefCell<Board>,
    budget: RefCell<Budget>,
}

impl Turns {
    pub(super) fn new(outside: Outside, policy: Policy) -> Self {
        let budget = RefCell::new(Budget::new(outside.now()));
        let board = Board::new(policy.rule);
        Self { outside, policy, board: RefCell::new(board), budget }
    }

    /// Monotonic time.
    pub(super) fn now(&self) -> Duration {
        self.outside.now()
    }

    /// Since the Unix epoch.
    pub(super) fn unix_time(&self) -> Duration {
        self.outside.unix_time()
    }

    /// Lets time go by.
    pub(super) fn pause(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        self.outside.sleep(time)
    }

    /// A number that no other request has.
    pub(super) fn new_request(&self) -> u64 {
        self.board.borrow_mut().id()
    }

    /// The board, to look at.
    pub(super) fn board(&self) -> std::cell::Ref<'_, Board> {
        self.board.borrow()
    }

    /// What a new job pays in for those that are made again.
    pub(super) fn pay_in(&self) {
        self.budget.borrow_mut().deposit(self.outside.now());
    }

    /// Whether a job may be made again that a Space has worked on.
    pub(super) fn may_repeat(&self) -> bool {
        self.budget.borrow_mut().withdraw(self.outside.now())
    }

    /// Waits until it is the turn of `wish`. `told` hears, once, how many jobs are before it, where it has to wait.
    ///
    /// # Errors
    /// Where there is nothing to wait for, or for too long.
    pub(super) async fn take(
        self: &Rc<Self>,
        wish: Wish,
        limit: Duration,
        told: impl FnOnce(usize),
    ) -> Result<Held, Refusal> {
        let waiting = self.board.borrow().waiting();
        if waiting >= self.policy.max_waiting {
            return Err(Refusal::Crowded { waiting });
        }
        let (tell, mut turn) = oneshot::channel();
        let draw = u64::from_le_bytes(random_bytes(&self.outside));
        let id = self.board.borrow_mut().enter(wish, draw, tell);
        let _waiter = Waiting { turns: self, id };
        let deadline = self.outside.unix_time().saturating_add(limit);
        let mut told = Some(told);
        loop {
            self.look();
            if let Ok(Some(outcome)) = turn.try_recv() {
                return outcome;
            }
            if let Some(told) = told.take() {
                told(self.board.borrow().before(id));
            }
            let now = self.outside.unix_time();
            let left = deadline.saturating_sub(now);
            if left.is_zero() {
                return Err(Refusal::NoTurn { after: limit });
            }
            let again = self.board.borrow().again(id).map_or(left, |at| at.saturating_sub(now));
            // Time is rounded down on its way to the host: a moment too early would be a loop.
            let sleep = self.outside.sleep(again.min(left).saturating_add(Duration::from_millis(1)));
            match select(turn, sleep).await {
                Either::Left((Ok(outcome), _)) => return outcome,
                Either::Left((Err(oneshot::Canceled), _)) => return Err(Failure::NoImage.into()),
                Either::Right(((), unfinished)) => turn = unfinished,
            }
        }
    }

    /// In how many seconds a job would be done elsewhere that begins there now.
    pub(super) fn elsewhere(&self, candidates: &[Candidate], stagger: &Stagger) -> Option<f64> {
        self.board.borrow().elsewhere(candidates, stagger, self.outside.unix_time())
    }

    /// No job of that request is to begin any more.
    pub(super) fn dismiss(self: &Rc<Self>, request: u64, why: &Refusal) {
        let dismissed = self.board.borrow_mut().dismiss(request, false, why);
        self.tell(dismissed);
    }

    /// All images of that request have found somebody who makes them.
    pub(super) fn dismiss_idle(self: &Rc<Self>, request: u64) {
        let dismissed = self.board.borrow_mut().dismiss(request, true, &Failure::NoImage.into());
        self.tell(dismissed);
    }

    /// Gives turns to those who are due.
    fn look(self: &Rc<Self>) {
        let now = self.outside.unix_time();
        let told = self.board.borrow_mut().look(now, || self.policy.stagger.draw(&self.outside));
        self.tell(told);
    }

    fn tell(self: &Rc<Self>, told: Vec<(oneshot::Sender<Answer>, Outcome)>) {
        for (tell, outcome) in told {
            // A turn that nobody wants any more is dropped, and so is the next one's.
            let _ = tell.send(outcome.map(|turn| Held { turns: Rc::clone(self), turn }));
        }
    }

    /// Reads what is kept of those Spaces, where that hasn't been done lately; waits only for those of which nothing has ever been read.
    pub(super) async fn read(self: &Rc<Self>, origins: impl Iterator<Item = &Origin>) {
        let origins: HashSet<&Origin> = origins.collect();
        let now = self.outside.unix_time();
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for origin in origins {
            let mut board = self.board.borrow_mut();
            let site = board.site(origin);
            match site.read_at {
                None => first.push(origin.clone()),
                Some(at) if now.saturating_sub(at) >= REREAD => {
                    // Now, so that no other request does it too.
                    site.read_at = Some(now);
                    again.push(origin.clone());
                }
                Some(_) => {}
            }
        }
        for origin in again {
            let this = Rc::clone(self);
            self.outside.spawn(Box::pin(async move { this.read_one(&origin).await }));
        }
        join_all(first.iter().map(|origin| self.read_one(origin))).await;
    }

    async fn read_one(&self, origin: &Origin) {
        // Where the store fails, what the instance knows itself has to do.
        let kept = self.outside.get(condition::key(origin)).await.ok().flatten();
        let now = self.outside.unix_time();
        let mut board = self.board.borrow_mut();
        let site = board.site(origin);
        site.read_at = Some(now);
        if let Some(kept) = kept.and_then(|json| Condition::read(&json)) {
            site.condition.merge(kept, site.uncounted);
        }
    }

    /// Writes what is known of a Space, soon or at once.
    fn write(self: &Rc<Self>, origin: &Origin, at_once: bool) {
        {
            let mut board = self.board.borrow_mut();
            let site = board.site(origin);
            if site.is_saving && !at_once {
                return;
            }
            site.is_saving = true;
        }
        let (this, origin) = (Rc::clone(self), origin.clone());
        self.outside.spawn(Box::pin(async move {
            if !at_once {
                this.outside.sleep(WRITE_AFTER).await;
            }
            this.read_one(&origin).await;
            let json = {
                let mut board = this.board.borrow_mut();
                let site = board.site(&origin);
                site.is_saving = false;
                site.uncounted = Uncounted::default();
                site.condition.write()
            };
            // What isn't kept is found out again.
            let _ = this.outside.set(condition::key(&origin), json).await;
        }));
    }
}

/// A job that waits; when it is dropped, it waits no longer.
struct Waiting<'a> {
    turns: &'a Rc<Turns>,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.turns.board.borrow_mut().forget(self.id);
    }
}

/// A turn at a Space. When it is dropped, it is the next one's.
pub(super) struct Held {
    turns: Rc<Turns>,
    turn: Turn,
}

impl Held {
    /// Where.
    pub(super) fn seat(&self) -> &crate::catalog::Seat {
        &self.turn.seat
    }

    /// The token that the job brings.
    pub(super) fn token(&self) -> Option<&Token> {
        self.turn.token.as_ref()
    }

    fn origin(&self) -> &Origin {
        self.turn.seat.space.origin()
    }

    /// Waits until a job may be sent: a request's jobs at a Space keep their distance.
    pub(super) async fn comes_due(&self) {
        let outside = &self.turns.outside;
        let pause = self.turns.policy.stagger.draw(outside);
        loop {
            let now = outside.unix_time();
            match self.turn.stagger.send(self.origin(), now, now.saturating_add(pause)) {
                Ok(()) => return,
                Err(left) => outside.sleep(left.saturating_add(Duration::from_millis(1))).await,
            }
        }
    }

    /// In how many seconds the Space begins with a job that stands there.
    pub(super) fn begins_in(&self, position: QueuePosition) -> f64 {
        begins_in(position, self.turn.generation)
    }

    /// The Space says where the job stands.
    pub(super) fn queued(&self, position: QueuePosition) {
        let now = self.turns.outside.unix_time();
        self.turns.board.borrow_mut().site(self.origin()).queued(self.turn.id, position, self.turn.generation, now);
    }

    /// The Space has begun with it.
    pub(super) fn started(&self) {
        let now = self.turns.outside.unix_time();
        self.turns.board.borrow_mut().site(self.origin()).started(self.turn.id, self.turn.generation, now);
    }

    /// The job is so far, from 0 to 1.
    pub(super) fn stepped(&self, done: f64) {
        let now = self.turns.outside.unix_time();
        self.turns.board.borrow_mut().site(self.origin()).stepped(self.turn.id, done, now);
    }

    /// `images` were made in `generate`.
    pub(super) fn succeeded(&self, generate: Duration, images: usize) {
        let now = self.turns.outside.unix_time();
        let images = u32::try_from(images).unwrap_or(u32::MAX);
        let work = self.turn.work * f64::from(images.max(1));
        let changed = {
            let mut board = self.turns.board.borrow_mut();
            let site = board.site(self.origin());
            site.uncounted.successes += 1;
            site.condition.succeeded(generate.as_secs_f64(), work, now)
        };
        self.turns.write(self.origin(), changed);
    }

    /// The job failed. What that says of the Space is noted.
    pub(super) fn failed(&self, failure: &Failure) -> Verdict {
        let verdict = Verdict::of(failure);
        let now = self.turns.outside.unix_time();
        let changed = {
            let mut board = self.turns.board.borrow_mut();
            let site = board.site(self.origin());
            let changed = match verdict.blame {
                // It has answered as it should.
                Blame::Asker if verdict.has_worked => site.condition.breaker.succeeded(now),
                Blame::Nothing | Blame::Asker => return verdict,
                Blame::Fault => {
                    let [random] = random_bytes::<1>(&self.turns.outside);
                    site.condition.breaker.failed(now, f64::from(random) / 255.0)
                }
                Blame::Full => {
                    site.full(self.turn.generation, now);
                    false
                }
                Blame::Rest(wait) => {
                    site.condition.breaker.rest(now, wait);
                    true
                }
                Blame::Exhausted(wait) => {
                    match &self.turn.token {
                        Some(token) => site.condition.exhaust(&token.fingerprint(), now, wait),
                        None => site.condition.breaker.rest(now, wait),
                    }
                    true
                }
            };
            if !matches!(verdict.blame, Blame::Asker) {
                site.uncounted.failures += 1;
                site.condition.note(failure, now);
            }
            if matches!(verdict.blame, Blame::Rest(_) | Blame::Exhausted(_)) {
                site.condition.cause = Cause::of(failure);
            }
            changed
        };
        self.turns.write(self.origin(), changed);
        verdict
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        {
            let mut board = self.turns.board.borrow_mut();
            let site = board.site(self.turn.seat.space.origin());
            site.leave(self.turn.id);
            if self.turn.probe {
                site.probing = false;
            }
        }
        self.turns.look();
    }
}
