//! Choice of the Space that makes an image, and of the moment.
//!
//! A generation of n images becomes jobs: one for each image, or fewer where a Space makes several at once.
//! [`Dispatcher::run`] follows all of them and returns one stream of [`Event`]s, which the waiting and the streaming
//! answers of the API write in two ways.
//!
//! - [`worker`] gets some of a request's images made ([`plan`]), on one Space after another ([`space_run`]);
//!   [`verdict`] classifies failures, [`attempts`] bounds them; [`event_channel`] takes events to the answer;
//! - [`scheduler`] grants slots over all instances: by priority, fairly between callers, by age, at the Space with the
//!   earliest forecast ([`space_state`]), never more than the Space has, and staggered for one request ([`policy`]);
//! - [`health`] is a Space's record over all instances: its breaker keeps jobs from a Space that fails, [`budget`]
//!   keeps retries from doubling the load;
//! - [`knowledge`] caches the capabilities of Spaces, [`crowd`] groups models that share Spaces.
//!
//! Tests simulate several instances over one database, with Spaces that fail, stall, cut connections, lie, sleep, fill
//! up and recover.

mod attempts;
mod budget;
mod capabilities;
mod crowd;
mod dispatcher;
mod event;
mod event_channel;
mod figures;
mod health;
mod knowledge;
mod plan;
mod policy;
mod refusal;
mod scheduler;
mod session;
mod space_queue;
mod space_run;
mod space_state;
mod status;
mod verdict;
mod worker;

pub use self::capabilities::{Capabilities, PoolSpace};
pub use self::dispatcher::{Dispatcher, RunOptions};
pub use self::event::{Deliver, Event, EventKind, Image, Made, Placement, Timing};
pub use self::figures::SpaceFigures;
pub use self::knowledge::Knowledge;
pub use self::policy::{Pause, Policy, SelectionRule};
pub use self::refusal::{Refusal, Tried};
pub use self::space_queue::SeenQueue;
pub use self::status::{SpaceStatus, Usable};
