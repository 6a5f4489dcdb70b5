//! Choice of the Space that makes an image, and of the moment.
//!
//! A [`Generation`] of n images becomes jobs, as many as the Spaces need: one for each image, or fewer where one makes
//! several. [`Dispatcher::run`] follows them all and tells what happens as one stream, which the API's waiting and
//! streaming answers are two ways to write.
//!
//! - [`worker`] sees some of a request's images through, on one Space after another ([`verdict`] says which failure
//!   leads to which);
//! - [`scheduler`] gives slots, over all instances: by priority, fairly between callers, by age, at the Space with the
//!   earliest forecast ([`space_state`]), no more at once than it has, a request's jobs there one after the other
//!   ([`policy`]);
//! - [`health`] is what all instances have seen of a Space: its breaker keeps jobs from one that fails, [`budget`]
//!   failures from doubling the load;
//! - [`knowledge`] is what Spaces can do, [`crowd`] which models share Spaces.
//!
//! It is simulated with several instances over one database, and Spaces that fail, stall, cut, lie, sleep, fill up and
//! come back.

mod budget;
mod capabilities;
mod crowd;
mod health;
mod knowledge;
mod order;
mod policy;
mod refusal;
mod scheduler;
mod space_state;
mod status;
mod verdict;
mod work;
mod worker;

use std::future::ready;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, Stream, StreamExt as _, once, select};

pub use self::capabilities::{Capabilities, PoolSpace};
pub use self::knowledge::Knowledge;
use self::order::Order;
pub use self::policy::{Pause, Policy};
pub use self::refusal::{Refusal, Tried};
#[cfg(test)]
pub(crate) use self::scheduler::Rule;
use self::scheduler::{Scheduler, Stagger};
pub use self::space_state::SeenQueue;
pub use self::status::{SpaceStatus, Usable};
use self::worker::{Shared, Worker};
use crate::catalog::{Catalog, PoolMember};
use crate::generation::{Generation, Purpose, Seed, Size};
use crate::gradio::client::Client;
use crate::gradio::discovery::signature::Signature;
use crate::gradio::failure::Failure;
use crate::gradio::job::Progress;
use crate::gradio::result::Picture;
use crate::gradio::space::Space;
use crate::store::lease::Leases;

/// Runs generations on Spaces.
pub struct Dispatcher {
    client: Client,
    knowledge: Rc<Knowledge>,
    scheduler: Rc<Scheduler>,
}

/// News of one of a generation's images.
#[derive(Debug)]
pub struct Event<T> {
    /// Number of the image, counted from 0.
    pub index: u32,
    /// The news.
    pub kind: EventKind<T>,
}

/// News of an image.
#[derive(Debug)]
pub enum EventKind<T> {
    /// It waits here for a Space with room.
    Waiting {
        /// Number of others that are before it.
        before: usize,
    },
    /// It has been given to a Space. Another may follow, where this one fails.
    Placed(Placement),
    /// It is on its way there.
    Progress(Progress),
    /// It is being made, and looks like this by now.
    Partial(Box<Image>),
    /// It is made. Nothing more follows for it.
    Made(Made<T>),
    /// It won't be made. Nothing more follows for it.
    Failed(Refusal),
}

/// The Space that an image is given to.
#[derive(Clone, Debug)]
pub struct Placement {
    /// It.
    pub space: Space,
    /// Inputs and outputs of its function.
    pub signature: Rc<Signature>,
}

/// An image that is made.
#[derive(Debug)]
pub struct Made<T> {
    /// The image as it was delivered.
    pub item: T,
    /// Space that made it.
    pub space: Space,
    /// Times that it took.
    pub timing: Timing,
}

/// Times that an image took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Until the Space that made it got it.
    pub wait: Duration,
    /// In that Space's queue.
    pub queue: Duration,
    /// In its function.
    pub generate: Duration,
    /// Until it was here.
    pub fetch: Duration,
}

/// An image at a Space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Space that made it.
    pub space: Space,
    /// The image, or where it lies.
    pub picture: Picture,
    /// The seed that it was made from.
    pub seed: Seed,
    /// The size that was asked of the Space, where that can be told.
    pub size: Option<Size>,
}

/// Makes of an image at a Space what the request wants. What fails in it is held against the Space, and the image made
/// anew elsewhere.
pub type Deliver<T> = Rc<dyn Fn(u32, Image) -> LocalBoxFuture<'static, Result<T, Failure>>>;

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

    /// Capabilities of the Spaces of `pool`, which are asked where nothing is known of them, and the Spaces by name or
    /// by number.
    pub async fn survey(&self, pool: &[PoolMember], reveal_spaces: bool) -> (Option<Capabilities>, Vec<PoolSpace>) {
        capabilities::survey(&self.knowledge, &self.client, pool, reveal_spaces).await
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
