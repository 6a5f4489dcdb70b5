//! HTTP, as every API speaks it: reading of bodies, replies, JSON and server-sent events with images in them,
//! authentication and CORS. Nothing here knows an endpoint.

pub mod attachments;
pub mod auth;
pub mod base_url;
pub mod call;
pub mod cors;
pub mod json;
pub mod keys;
pub mod list;
pub mod page;
pub mod path;
pub mod read;
pub mod reply;
pub mod sse;
pub mod unread;
