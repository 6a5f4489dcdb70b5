//! `POST /v1/chat/completions`: images for clients that only chat.
//!
//! [`request`] parses the chat, [`answer`] and [`events`] write the two forms of the answer, with the words of
//! [`super::conversation::wording`]. OpenAI's own API makes no images here; the form in which they are handed over
//! follows the clients: an image in Markdown with an absolute link, whole in one piece, since none of them loses that;
//! or, where `modalities` names `image`, data URLs in `images`, as OpenRouter does it: clients that ask so store what
//! they get, and take nothing but data URLs (LobeHub's `uploadBase64ToS3` throws at a link). Such an image is one line
//! of a stream, which is as long as it takes; `response_format: "url"` beside it asks for links.

mod answer;
mod chunk;
mod context;
mod events;
mod handler;
mod image;
pub mod progress;
pub mod request;

pub use self::handler::complete;
