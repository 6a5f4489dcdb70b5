//! Requests that are answered once, however often they come: the header `Idempotency-Key`.
//!
//! A client that doesn't know whether its request was heard sends it again with the same key, and is answered what was
//! answered, or joins what is being made. The rules are those of draft-ietf-httpapi-idempotency-key-header-07 and of
//! Stripe's practice:
//!
//! - a key belongs to the caller and the route ([`key`]);
//! - the same key with another request is a 422;
//! - what is kept is what was made: an answer with images or a task, or a refusal of the request that the work itself
//!   has led to, such as a rejected prompt ([`outcome`]). What another try can mend is not kept, so that another try
//!   can mend it. Nor is what was refused before any work;
//! - a second request that comes while the first is being answered waits for the same answer ([`flight`]), in whichever
//!   instance ([`watch`]);
//! - one that would join a stream is asked to come again (409).
//!
//! What is known lies in the database ([`record`]). Where that fails, requests are answered as if they had no key, but
//! for those that meet in an instance.

pub mod flight;
pub mod key;
pub mod outcome;
pub mod record;
pub mod stored_response;
mod watch;
