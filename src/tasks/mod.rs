//! Generations that outlive their request, and what is remembered of images that were made.
//!
//! A task is a [`record`] in the key-value store, and whoever can read the store can go on with it. One instance at a time does: the one whose
//! token is in the record's [`lease`]. It writes what happens, and so renews its lease; when it dies, the lease runs out, and
//! the next instance that sees the task takes it over. Every write is a swap of the record as it was last seen, so an
//! instance that has lost its lease without noticing can't write, and learns of it.
//!
//! - [`record`] is the state of a task and how it changes: values, no store;
//! - [`store`] is where records, images and marks lie, and how they are read and written;
//! - [`runner`] makes a task's images, [`webhook`] tells its end;
//! - [`keeper`] takes over what nobody runs any more and deletes what has expired;
//! - [`history`] remembers images, of tasks and of calls that waited;
//! - [`view`] is a task as clients see it.

pub mod history;
pub mod keeper;
pub mod lease;
pub mod name;
pub mod record;
pub mod runner;
pub mod store;
pub mod view;
pub mod webhook;
