//! z-image-2api: any text-to-image Gradio Space as an OpenAI-compatible images API.
//!
//! The crate is one WebAssembly component for Spin and other hosts of WASI HTTP 0.3.
//!
//! ```text
//! client ──HTTP──▶ app ─▶ openai ─▶ pipeline ─▶ dispatch ─▶ gradio ──HTTP──▶ Space
//!                           ▲           │                      │
//!                           └───────────┴─────── media ◀───────┘
//! ```
//!
//! # A request
//!
//! Data goes one way:
//!
//! 1. [`app`] finds the row of the route table, checks the key ([`http`]) and the rate ([`limits`]), and calls the
//!    endpoint's handler;
//! 2. [`openai`] parses the request into a [`generation::Generation`], a value that names no wire;
//! 3. [`pipeline`] has its images made and yields what happens as one stream of updates, which the waiting and the
//!    streaming form of an answer are two ways to write;
//! 4. [`dispatch`] chooses a Space and a moment, [`gradio`] runs the job in the Space's queue;
//! 5. [`media`] fetches what came out, or signs a link to it, and lets nothing through that isn't an image;
//! 6. [`openai`] writes the answer in the shape that was asked for.
//!
//! [`tasks`] are generations that outlive their request, [`history`] lists what was made, [`idempotency`] answers a
//! request that is sent again once, [`observe`] writes a line for each request when it ends. [`store`] is the one door
//! to the database, [`settings`] are what the operator has set, and [`catalog`] holds the models. Everything that
//! decides something is plain Rust which knows neither Spin nor WebAssembly; [`platform`] is the port to the host, with
//! an adapter for Spin, another for hosts that have WASI and nothing else, and a simulated world for the tests.
//!
//! # Paths
//!
//! A route is a row of one table: a pattern, its methods, the callers that it lets in, the bounds of its body, and its
//! handler. Clients write base URLs in many ways, and all of them mean the same route:
//!
//! ```
//! use z_image_2api::http::path::RequestPath;
//!
//! for path in ["/v1/models/z", "/models/z/", "//v1/v1/models//z", "/openai/deployments/d/models/z"] {
//!     assert_eq!(RequestPath::parse(path).parameter("/v1/models/{id*}"), Some("z"));
//! }
//! ```
//!
//! # Values
//!
//! Past the edge a size is a [`generation::Size`] and a seed a [`generation::Seed`]: what can't be is no value.
//!
//! ```
//! use z_image_2api::generation::{Aspect, Seed, Size};
//!
//! assert_eq!(Size::parse("1536x1024"), Size::new(1536, 1024));
//! assert_eq!(Size::parse("64x64000"), None);
//!
//! // A shape keeps the number of pixels.
//! let wide = Aspect::parse("16:9").map(|aspect| aspect.size(Size::USUAL));
//! assert_eq!(wide, Size::new(1344, 768));
//!
//! // Image i of several starts from the seed that many further.
//! assert_eq!(Seed::new(41).map(|seed| seed.plus(1).get()), Some(42));
//! ```
//!
//! # Settings
//!
//! A variable that can't be read never stops the component: it is reported, and its default is used, or, where that
//! would let somebody in, nobody is.
//!
//! ```
//! use z_image_2api::settings::Settings;
//!
//! let settings = Settings::parse(|name| match name {
//!     "spaces" => "z=owner/space",
//!     "response_ttl" => "a day",
//!     _ => "",
//! });
//! assert_eq!(settings.catalog.models()[0].id, "z");
//! assert_eq!(settings.response_ttl.as_secs(), 86_400);
//! assert_eq!(settings.problems.len(), 1);
//! ```
//!
//! # Answers
//!
//! JSON with images in it is written in pieces, so that no image is held as text:
//!
//! ```
//! use futures::executor::block_on;
//! use z_image_2api::http::json::JsonBody;
//! use z_image_2api::platform::read_to_end;
//!
//! let mut body = JsonBody::default();
//! body.push_object(|object| {
//!     object.field("seed", &7);
//!     object.field_with("b64_json", |body| body.push_base64_string(|body| body.push_base64("image".into())));
//! });
//! let written = block_on(read_to_end(body.into_stream(), 1000)).unwrap();
//! assert_eq!(written, r#"{"seed":7,"b64_json":"aW1hZ2U="}"#);
//! ```
//!
//! # Invariants
//!
//! - A request ends, with images or with one error that says what the client can do.
//! - An image that a Space has finished is never lost to another's failure.
//! - A job that nobody waits for is cancelled at the Space.
//! - Nothing is fetched but from the configured Spaces and image hosts.
//! - No key or secret is in any answer, link or log line.
//! - Memory is bounded by the settings.
//! - Nothing here panics, since a trap ends the requests of everybody who shares the instance.

pub mod app;
pub mod bounded_json;
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
pub mod observe;
pub mod openai;
pub mod pipeline;
pub mod platform;
pub mod safe_url;
pub mod settings;
pub mod store;
pub mod tasks;
pub mod trace_context;
pub mod warn_once;
