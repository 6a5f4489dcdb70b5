//! `POST /v1/responses`: images by the image_generation tool.
//!
//! [`request`] reads what is wanted, [`answer`] writes it whole or as OpenAI's sequence of events, [`memory`] remembers for
//! some time what was made, so that a next request can go on from it by `previous_response_id`.
//!
//! A request with a tool of type `image_generation` gets `image_generation_call` items, as at OpenAI. One without is a
//! chat's, and gets a message with the image in Markdown.

pub mod answer;
pub mod memory;
pub mod request;
