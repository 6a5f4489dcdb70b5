//! Idempotent requests: the header `Idempotency-Key`.
//!
//! A client that got no response repeats its request with the same key. It gets the stored response, or joins the
//! request in flight. Rules follow draft-ietf-httpapi-idempotency-key-header-07 and Stripe's practice:
//!
//! - a key is scoped to the caller and the route ([`key`]);
//! - the same key with another request is a 422;
//! - final responses are stored: images, a task, or a refusal after work, such as a rejected prompt ([`outcome`]).
//!   Failures that a retry can repair aren't stored, nor are refusals before any work;
//! - a second request during the first one's flight waits for the same response ([`flight`]), on any instance
//!   ([`watch`]);
//! - a request that would join a stream gets a 409.
//!
//! Keys and responses are stored in the database ([`record`]). While it fails, requests run as if they had no key,
//! except for joins within an instance.

pub mod flight;
pub mod key;
pub mod outcome;
pub mod record;
pub mod stored_response;
mod watch;
