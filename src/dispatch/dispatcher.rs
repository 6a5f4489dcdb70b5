//! Entry to the room: runs a generation's jobs as one stream of events.

use std::future::ready;
use std::rc::Rc;

use futures::channel::mpsc;
use futures::stream::{FuturesUnordered, Stream, StreamExt as _, once, select};

use super::event::{Deliver, Event};
use super::knowledge::Knowledge;
use super::order::Order;
use super::policy::Policy;
use super::scheduler::{Scheduler, Stagger};
use super::worker::{Shared, Worker};
use crate::catalog::{Catalog, PoolMember};
use crate::generation::Generation;
use crate::gradio::client::Client;
use crate::gradio::discovery::choose::Purpose;
use crate::store::lease::Leases;

/// Runs generations on Spaces.
pub struct Dispatcher {
    client: Client,
    pub(super) knowledge: Rc<Knowledge>,
    pub(super) scheduler: Rc<Scheduler>,
}

impl Dispatcher {
    /// A dispatcher to the Spaces of `catalog`, whose slots are `leases`; it calls them through `client`.
    pub fn new(client: Client, policy: Policy, catalog: &Catalog, leases: &Rc<Leases>) -> Self {
        let knowledge = Knowledge::new(leases.store());
        let scheduler = Scheduler::new(leases, policy, catalog, &knowledge);
        Self { client, knowledge, scheduler }
    }

    /// Client that it calls Spaces through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Knowledge of Spaces.
    pub fn knowledge(&self) -> &Rc<Knowledge> {
        &self.knowledge
    }

    /// Whether one of the Spaces of `pool` serves `purpose`, as far as they can be asked.
    pub async fn can(&self, pool: &[PoolMember], purpose: Purpose) -> bool {
        for member in pool {
            let known = self.knowledge.of(&self.client, &member.space).await;
            if known.is_ok_and(|profile| profile.skill(purpose).is_ok()) {
                return true;
            }
        }
        false
    }

    /// Makes the images of `generation`, which `caller` wants, on the Spaces of `pool`. Each image ends with
    /// [`EventKind::Made`] or [`EventKind::Failed`]; dropping the stream cancels the jobs that have not.
    pub fn run<T: 'static>(
        &self,
        pool: &[PoolMember],
        purpose: Purpose,
        generation: Generation,
        caller: Rc<str>,
        deliver: Deliver<T>,
    ) -> impl Stream<Item = Event<T>> + 'static {
        let count = generation.count;
        let (tell, told) = mpsc::unbounded();
        let (scheduler, limit) = (&self.scheduler, self.client.limits().job);
        let shared = Rc::new(Shared {
            id: scheduler.new_request(),
            since: (scheduler.now(), scheduler.unix_time()),
            place: scheduler.place(pool),
            caller,
            is_admitted: Rc::default(),
            scheduler: Rc::clone(scheduler),
            order: Order::new(pool, purpose, generation, &self.client, &self.knowledge),
            stagger: Rc::new(Stagger::default()),
            deliver,
            tell,
            limit,
        });
        let workers = (0..count).map(|number| Worker::new(Rc::clone(&shared), number).run());
        let workers: FuturesUnordered<_> = workers.collect();
        // The last worker takes what tells along, and so ends the stream.
        drop(shared);
        // What all know of the Spaces is known before the first of them is chosen.
        let learnt = {
            let (scheduler, pool) = (Rc::clone(scheduler), pool.to_vec());
            async move {
                scheduler.learn(&pool).await;
                None
            }
        };
        once(learnt).chain(select(told.map(Some), workers.map(|()| None))).filter_map(ready)
    }
}
