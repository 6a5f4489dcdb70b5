//! Entry point of the dispatch: runs a generation's jobs and merges their events into one stream.
//!
//! The jobs run in a task of their own, at the pace of the Spaces, whether or not somebody takes the events; dropping
//! the stream ends the task, which cancels the jobs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::future::{join_all, select};
use futures::stream::Stream;

use super::capabilities::{self, Capabilities, PoolSpace};
use super::event::{Deliver, Event};
use super::event_channel::event_channel;
use super::knowledge::Knowledge;
use super::plan::RequestPlan;
use super::policy::Policy;
use super::scheduler::{Scheduler, Stagger};
use super::worker::{Worker, WorkerContext};
use crate::catalog::{Catalog, PoolMember};
use crate::generation::{Generation, Purpose};
use crate::gradio::client::Client;
use crate::platform::{Host, timeout};
use crate::store::lease::Leases;
use crate::trace_context::TraceContext;

/// Time limit for learning what Spaces can do before the first choice between them.
const LEARNING: Duration = Duration::from_secs(1);

/// Circumstances of a run.
pub struct RunOptions {
    /// Owner of the request.
    pub caller: Rc<str>,
    /// Marks a run whose client follows the places of its jobs in the queue.
    pub is_followed: bool,
    /// Marks a run with previews of unfinished images.
    pub has_previews: bool,
    /// Trace that the calls to Spaces belong to.
    pub trace: Option<TraceContext>,
}

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

    /// Names of the choices that the Spaces of `pool` are known to have. Spaces that little or nothing is known of are
    /// asked meanwhile.
    pub async fn choices(&self, pool: &[PoolMember]) -> Vec<String> {
        capabilities::choices(&self.knowledge, &self.client, pool).await
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

    /// Makes the images of `generation` on the Spaces of `pool`. Each image ends with
    /// [`EventKind::Made`](super::EventKind::Made) or [`EventKind::Failed`](super::EventKind::Failed). Dropping the
    /// stream cancels unfinished jobs.
    pub fn run<T: 'static>(
        &self,
        pool: &[PoolMember],
        purpose: Purpose,
        generation: Generation,
        options: RunOptions,
        deliver: Deliver<T>,
    ) -> impl Stream<Item = Event<T>> + 'static {
        let count = generation.count;
        let RunOptions { caller, is_followed, has_previews, trace } = options;
        let (events, emitted, gone) = event_channel();
        let (scheduler, limits) = (Rc::clone(&self.scheduler), self.client.limits());
        let shared = Rc::new(WorkerContext {
            id: scheduler.new_request(),
            since: (scheduler.now(), scheduler.unix_time()),
            place: scheduler.place(pool),
            caller,
            is_admitted: Rc::default(),
            scheduler: Rc::clone(&scheduler),
            plan: RequestPlan::new(pool, purpose, generation, &self.client, &self.knowledge, trace.as_ref()),
            stagger: Rc::new(Stagger::default()),
            deliver,
            events,
            worked: Cell::default(),
            failed_probes: RefCell::default(),
            is_followed,
            has_previews,
            limits,
        });
        let (host, pool) = (Rc::clone(self.client.host()), pool.to_vec());
        let work = {
            let host = Rc::clone(&host);
            async move {
                // Read the shared state of the Spaces before the first choice.
                scheduler.learn(&pool).await;
                learn_defaults(&host, &shared.plan).await;
                let workers: Vec<_> = (0..count).map(|number| Worker::new(Rc::clone(&shared), number).run()).collect();
                // The workers hold the only senders: the stream ends with the last worker.
                drop(shared);
                join_all(workers).await;
            }
        };
        host.spawn(Box::pin(async move {
            select(Box::pin(work), gone).await;
        }));
        emitted
    }
}

/// Asks the Spaces of a plan that nothing is known of what they do, where the request doesn't say how many steps an
/// image takes: a choice by wrong forecasts costs more. With one Space, there is no choice.
async fn learn_defaults(host: &Host, plan: &RequestPlan) {
    if plan.sessions().len() < 2 || plan.generation.steps.is_some() {
        return;
    }
    let unknown: Vec<_> = plan.sessions().iter().filter(|session| session.is_unknown()).collect();
    if !unknown.is_empty() {
        // Who doesn't answer in time is asked again with its first job.
        let _ = timeout(host, LEARNING, join_all(unknown.iter().map(|session| session.call()))).await;
    }
}
