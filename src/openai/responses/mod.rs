//! `POST /v1/responses`: images by the image_generation tool.
//!
//! [`request`] parses the request, [`answer`] and [`events`] write the two forms of the response, [`memory`] keeps for
//! some time what was made, so that a next request can go on from it by `previous_response_id`.
//!
//! A request with a tool of type `image_generation` gets `image_generation_call` items, as at OpenAI. One without is a
//! chat's, and gets a message with the image in Markdown.

mod answer;
mod context;
mod events;
mod handler;
mod id;
mod memory;
mod output;
mod remember;
pub mod request;
mod writer;

pub use self::handler::respond;
