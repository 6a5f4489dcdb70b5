//! Conversations that ask for images: what a chat and a response have in common.

mod background;
mod flags;
pub mod intent;
pub mod message;
pub mod resolve;
pub mod wording;
