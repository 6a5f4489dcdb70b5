//! OpenAI's wire: one folder for each endpoint, with its handler, and the fields that they share.
//!
//! - [`images`], [`chat`], [`responses`] and [`models`] are the endpoints; [`conversation`] is what chats and responses
//!   have in common;
//! - [`fields`], [`image_request`] and [`source`] parse what is asked for, [`usage`] counts it;
//! - [`answer`] is an answer written all at once, [`encoder`] one that is streamed;
//! - [`server`] is what endpoints ask of the application around them.
//!
//! Nothing here knows of Gradio.

pub mod answer;
pub mod chat;
pub mod conversation;
pub mod encoder;
pub mod fields;
pub mod image_request;
pub mod images;
pub mod models;
pub mod responses;
pub mod server;
pub mod source;
pub mod usage;
