//! The Space's face: Gradio's wire, from a Space's name to the file of an image.
//!
//! [`space`] says where a Space is, [`discovery`] finds out from its [`config`] what it can do, [`arguments`] says what
//! is asked for in the Space's own terms, [`upload`] sends images there, [`job`] has it done over the queue's event
//! stream ([`sse`], [`message`], [`diff`]), [`result`], [`file`] and [`image_hosts`] find the images in what comes
//! out, and [`failure`], [`stage`] and [`diagnosis`] say what went wrong and whose fault that is. Nothing here knows of
//! OpenAI.

pub mod arguments;
pub mod client;
pub mod config;
pub mod cookies;
pub mod diagnosis;
pub mod diff;
pub mod discovery;
pub mod failure;
pub mod file;
pub mod image_hosts;
pub mod job;
pub mod limits;
mod mask;
pub mod message;
pub mod result;
mod shown;
pub mod space;
pub mod sse;
pub mod stage;
pub mod upload;
