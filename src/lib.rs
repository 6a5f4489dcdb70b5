//! z-image-2api: any text-to-image Gradio Space as an OpenAI-compatible images API.
//!
//! The crate is one WebAssembly component for Spin and other hosts of WASI HTTP 0.3. Data goes one way:
//!
//! 1. [`openai`] reads a request and makes a [`generation::Generation`] of it, a value that names no wire;
//! 2. [`dispatch`] has its images made and tells what happens as one stream of events;
//! 3. [`gradio`] runs each job in a Space's queue;
//! 4. [`media`] fetches what came out, or signs a link to it, and lets nothing through that isn't an image;
//! 5. [`openai`] writes the answer.
//!
//! [`tasks`] are generations that outlive their request, [`history`] lists what was made, [`limits`] is what a key may ask for, [`idempotency`] answers a request that is sent again once. [`app`] is the route table, [`settings`] what the operator has
//! set, [`catalog`] which models there are. Everything that decides something is plain Rust which knows neither Spin nor WebAssembly;
//! [`platform`] is the port to the host, with one adapter for Spin and one simulated world for the tests.
//!
//! ```text
//! client ──HTTP──▶ app ─▶ openai ─▶ dispatch ─▶ gradio ──HTTP──▶ Space
//!                          ▲                       │
//!                          └────────  media ◀──────┘
//! ```
//!
//! What must always hold: a request ends, with images or with one error that says what the client can do; an image that a
//! Space has finished is never lost to another's failure; a job that nobody waits for is cancelled at the Space; nothing
//! is fetched but from the configured Spaces; no key or secret is in any answer, link or log line; memory is bounded by
//! the settings. And nothing here panics, since a trap ends the requests of everybody who shares the instance.

pub mod app;
pub mod catalog;
pub mod dispatch;
#[cfg(target_arch = "wasm32")]
mod entry;
pub mod error;
pub mod generation;
pub mod gradio;
pub mod hex;
pub mod history;
pub mod http;
pub mod idempotency;
pub mod limits;
pub mod media;
pub mod openai;
pub mod pipeline;
pub mod platform;
pub mod settings;
pub mod store;
pub mod tasks;
pub mod warn_once;
