//! Generations that outlive their request.
//!
//! A task is a row in the database: a [`record`] of what is asked for and how far it is, and columns that statements
//! decide by. It waits there, and holds neither a slot nor an instance meanwhile. The [`supervisor`] of an instance
//! takes the next task of a model with one statement, as long as fewer are being worked at, over all instances, than
//! the model's Spaces have slots. It then has a lease, which it renews; when the instance dies, the lease runs out, and
//! the instance that [`watch`]es lets the task wait again. The runner alone writes a task that it holds; one that has
//! lost its lease without noticing can't write, and learns of it.
//!
//! - [`record`], [`image`] and [`changes`] are the state of a task and how it changes: values, no store;
//! - [`store`] and [`files`] read and write rows, and the images that were sent along;
//! - [`runner`] makes a task's images from its [`request`], [`delivery`] tells its end to an [`endpoint`];
//! - [`supervisor`] and [`watch`] decide who works at what, [`cancel`] ends it early, [`feed`] follows changes for
//!   event streams;
//! - [`view`] is a task as clients see it.

pub mod cancel;
pub mod changes;
pub mod config;
pub mod delivery;
pub mod endpoint;
pub mod feed;
pub mod files;
mod follow;
pub mod image;
pub mod record;
pub mod request;
pub mod runner;
mod running;
pub mod store;
pub mod supervisor;
pub mod view;
pub mod watch;
mod watch_state;

#[cfg(test)]
mod tests;
