//! Generations that outlive their request.
//!
//! A task is a row in the database: a [`record`] of the request and its progress, and columns that statements decide
//! by. While it waits there, it holds neither a slot nor an instance. The [`supervisor`] of an instance claims the next
//! task of a model with one statement, as long as fewer are running, over all instances, than the model's Spaces have
//! slots. It then holds a lease and renews it. When the instance dies, the lease expires, and the instance that
//! [`watch`]es requeues the task. Only the runner that holds a task writes it; a write of one that has lost its lease
//! fails.
//!
//! - [`record`], [`image`] and [`changes`] are the state of a task and its transitions: values, without a store;
//! - [`store`] and [`files`] read and write rows, and image files of tasks;
//! - [`runner`] makes a task's images from its [`request`], [`delivery`] sends its webhook to an [`endpoint`];
//! - [`supervisor`] and [`watch`] distribute tasks, [`running`] holds those of this instance, [`cancel`] ends one
//!   early, [`feed`] and [`follow`] pass changes on to event streams;
//! - [`submit`] makes a task of a request, [`handlers`] answer for tasks, [`view`] is the form of a task for clients.

pub mod cancel;
pub mod changes;
pub mod config;
pub mod delivery;
pub mod endpoint;
pub mod feed;
pub mod files;
mod follow;
pub mod handlers;
pub mod image;
pub mod record;
pub mod request;
pub mod runner;
mod running;
pub mod store;
pub mod submit;
pub mod supervisor;
pub mod view;
pub mod watch;
mod watch_state;

#[cfg(test)]
mod tests;
