//! Entry point of the dispatch: runs a generation's jobs and merges their events into one stream.

use std::cell::Cell;
use std::future::ready;
use std::rc::Rc;

use futures::channel::mpsc;
use futures::stream::{FuturesUnordered, Stream, StreamExt as _, once, select};

use super::capabilities::{self, Capabilities, PoolSpace};
use super::event::{Deliver, Event};
use super::knowledge::Knowledge;
use super::plan::RequestPlan;
use super::policy::Policy;
use super::scheduler::{Scheduler, Stagger};
use super::worker::{Worker, WorkerContext};
use crate::catalog::{Catalog, PoolMember};
use crate::generation::{Generation, Purpose};
use crate::gradio::client::Client;
use crate::store::lease::Leases;

/// Dispatcher of generations to Spaces.
pub struct Dispatcher {
    client: Client,
    pub(super) knowledge: Rc<Knowledge>,
    pub(super) scheduler: Rc<Scheduler>,
}

impl Dispatcher {
    /// A dispatcher to the Spaces of `catalog`. `client` calls them; `leases` hold their slots.
    pub fn new(client: Client, policy: Policy, catalog: &Catalog, leases: &Rc<Leases>) -> Self {
        let knowledge = Knowledge::new(leases.store());
        let scheduler = Scheduler::new(leases, policy, catalog, &knowledge);
        Self { client, knowledge, scheduler }
    }

    /// Client for calls to Spaces.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Capabilities of Spaces.
    pub fn knowledge(&self) -> &Rc<Knowledge> {
        &self.knowledge
    }

    /// Capabilities of the Spaces of `pool`, which are asked where nothing is known of them, and the Spaces by name or
    /// by number, each `ready` or with the reason of its pause, as [`Self::status`] has it.
    pub async fn survey(&self, pool: &[PoolMember], reveal_spaces: bool) -> (Option<Capabilities>, Vec<PoolSpace>) {
        let pauses = self.pauses(pool).await;
        capabilities::survey(&self.knowledge, &self.client, pool, pauses, reveal_spaces).await
    }

    /// True if a Space of `pool` serves `purpose`. A Space that can't be asked counts as one that doesn't.
    pub async fn can(&self, pool: &[PoolMember], purpose: Purpose) -> bool {
        for member in pool {
            let known = self.knowledge.of(&self.client, &member.space).await;
            if known.is_ok_and(|profile| profile.skill(purpose).is_ok()) {
                return true;
            }
        }
        false
    }

    /// Makes the images of `generation` for `caller` on the Spaces of `pool`, with previews of unfinished ones if
    /// `has_previews`. Each image ends with
    /// [`EventKind::Made`](super::EventKind::Made) or [`EventKind::Failed`](super::EventKind::Failed). Dropping the
    /// stream cancels unfinished jobs.
    pub fn run<T: 'static>(
        &self,
        pool: &[PoolMember],
        purpose: Purpose,
        generation: Generation,
        caller: Rc<str>,
        has_previews: bool,
        deliver: Deliver<T>,
    ) -> impl Stream<Item = Event<T>> + 'static {
        let count = generation.count;
        let (events, emitted) = mpsc::unbounded();
        let backlog = Rc::new(Cell::new(0_usize));
        let (scheduler, limit) = (&self.scheduler, self.client.limits().job);
        let shared = Rc::new(WorkerContext {
            id: scheduler.new_request(),
            since: (scheduler.now(), scheduler.unix_time()),
            place: scheduler.place(pool),
            caller,
            is_admitted: Rc::default(),
            scheduler: Rc::clone(scheduler),
            plan: RequestPlan::new(pool, purpose, generation, &self.client, &self.knowledge),
            stagger: Rc::new(Stagger::default()),
            deliver,
            events,
            backlog: Rc::clone(&backlog),
            has_previews,
            limit,
        });
        let workers = (0..count).map(|number| Worker::new(Rc::clone(&shared), number).run());
        let workers: FuturesUnordered<_> = workers.collect();
        // The workers hold the only senders: the stream ends with the last worker.
        drop(shared);
        let taken = emitted.inspect(move |_| backlog.set(backlog.get().saturating_sub(1)));
        // Read the shared state of the Spaces before the first choice.
        let learnt = {
            let (scheduler, pool) = (Rc::clone(scheduler), pool.to_vec());
            async move {
                scheduler.learn(&pool).await;
                None
            }
        };
        once(learnt).chain(select(taken.map(Some), workers.map(|()| None))).filter_map(ready)
    }
}
