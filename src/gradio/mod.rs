//! The Space's face: Gradio's wire, from a Space's name to the file of an image.
//!
//! [`space`] says where a Space is, [`config`] asks it what it can do, [`job`] has it done over the queue's
//! event stream ([`sse`], [`message`]), [`file`] says where the result lies, and [`failure`] what went wrong and whose
//! fault that is. Nothing here knows of OpenAI.

pub mod client;
pub mod config;
pub mod failure;
pub mod file;
pub mod job;
pub mod message;
pub mod space;
pub mod sse;
pub mod turbo;
