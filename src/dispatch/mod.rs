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
mod crowd;
mod dispatcher;
mod event;
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

pub use self::dispatcher::Dispatcher;
pub use self::event::{Deliver, Event, EventKind, Image, Made, Placement, Timing};
pub use self::knowledge::Knowledge;
#[cfg(test)]
pub(crate) use self::policy::SelectionRule;
pub use self::policy::{Pause, Policy};
pub use self::refusal::{Refusal, Tried};
pub use self::space_state::SeenQueue;
pub use self::status::{SpaceStatus, Usable};
