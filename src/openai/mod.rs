//! The API's face: OpenAI's wire, one handler a file.
//!
//! [`auth`] says who may, [`params`] and [`edits`] read what is asked for, [`images`] and [`models`] answer it, [`body`] writes answers that hold
//! images without copying them. Nothing here knows of Gradio.

pub mod auth;
pub mod body;
pub mod chat;
pub mod conversation;
pub mod edits;
pub mod images;
pub mod making;
pub mod models;
pub mod params;
pub mod responses;
pub mod sse;
pub mod usage;
