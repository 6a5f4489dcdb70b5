//! A request's images from start to finish.
//!
//! [`Pipeline::run`] has the images of a [`RunRequest`] made and yields one stream of [`Update`]s. Every answer,
//! waiting or streaming, of the images API, a chat or a response, is a way to write that stream; so is a task's record.
//! Images are fetched here, or links made to them, a few at a time, so that no more of them are in memory than are on
//! their way.
//!
//! Observers (the history, permits, the outcome) are put around the stream by the caller.

mod collect;
mod delivery;
mod filter;
mod first_update;
mod item;
mod partials;
mod progress;
mod request;
mod run;
mod update;

pub use self::collect::{Collected, ErrorLog, collect, no_image};
pub use self::delivery::conversion;
pub use self::first_update::await_first_update;
pub use self::item::{Course, Item, MadeFile, Payload};
pub use self::progress::ImageProgress;
pub use self::request::RunRequest;
pub use self::run::{EventWatch, Pipeline};
pub use self::update::{Update, Updates};
