//! `POST /v1/images/generations`, `/v1/images/edits` and `/v1/images/variations`.
//!
//! [`edit_request`] and [`form`] parse what [`super::image_request`] doesn't, [`answer`] and [`events`] write the two
//! forms of the answer.

mod answer;
mod context;
pub mod edit_request;
mod events;
pub mod form;
mod handler;
mod payload;
mod urlencoded;

pub use self::handler::{edit, generate, vary};
