//! The API's face: OpenAI's wire, one handler a file.
//!
//! [`params`] and [`edits`] read what is asked for, [`images`] and [`models`] answer it. Nothing here knows of Gradio.

pub mod answer;
pub mod chat;
pub mod conversation;
pub mod edits;
pub mod images;
pub mod making;
pub mod models;
pub mod params;
pub mod responses;
pub mod usage;
