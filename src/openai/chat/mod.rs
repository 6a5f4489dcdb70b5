//! `POST /v1/chat/completions`: images for clients that only chat.
//!
//! [`request`] reads what is wanted, [`answer`] writes it, with the words of [`super::conversation::wording`]. OpenAI's own API makes no images here; how they are
//! handed over follows the clients: an image in Markdown with an absolute link, whole in one piece, since none of
//! them loses that; or, where `modalities` names `image`, data URLs in `images`, as OpenRouter does it.

pub mod answer;
pub mod progress;
pub mod request;
