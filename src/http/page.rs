//! Requests of web pages to a server that asks for no key.
//!
//! A browser sends a page's `POST` to any server, this one on the user's machine among them, and only keeps the answer
//! from the page: the images are made all the same. With a key that is no danger, as pages don't have it. Without one,
//! an operator who restricts the origins (`cors_origins`) means this too.
//!
//! A page can also have its own name lead to this server (DNS rebinding), and is of the same origin then. So where no
//! `public_url` says which name is the server's, only addresses and `localhost` are.

use http::header::ORIGIN;
use http::request::Parts;
use url::{Host, Url};

use super::base_url::base_url;
use super::cors::CorsOrigins;
use crate::error::Error;

/// Checks that a request that changes something is not a foreign page's. `public_url` is the configured URL.
///
/// # Errors
/// 403 for a page of another origin, or a name that may be a page's.
pub fn refuse_foreign(origins: &CorsOrigins, public_url: Option<&str>, head: &Parts) -> Result<(), Error> {
    let CorsOrigins::Only(listed) = origins else { return Ok(()) };
    let Some(origin) = head.headers.get(ORIGIN) else { return Ok(()) };
    if head.method.is_safe() || listed.iter().any(|one| one.as_bytes() == origin.as_bytes()) {
        return Ok(());
    }
    let page = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
    let own = Url::parse(&base_url(public_url, head)).ok();
    let (Some(page), Some(own)) = (page, own) else { return Err(Error::foreign_page()) };
    // A proxy may have taken off the encryption: the scheme says nothing.
    let is_same = page.host() == own.host() && page.port() == own.port();
    let is_certain = public_url.is_some()
        || match own.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
            None => false,
        };
    if is_same && is_certain { Ok(()) } else { Err(Error::foreign_page()) }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::HOST;

    use super::*;

    fn passes(method: &str, host: &str, origin: &str, public_url: Option<&str>, origins: &str) -> bool {
        let request = Request::builder().method(method).uri("/v1/images/generations").header(HOST, host);
        let request = if origin.is_empty() { request } else { request.header(ORIGIN, origin) };
        let (head, ()) = request.body(()).unwrap().into_parts();
        refuse_foreign(&CorsOrigins::parse(origins).unwrap(), public_url, &head).is_ok()
    }

    #[test]
    fn pages_of_other_origins_are_refused_where_origins_are_restricted() {
        assert!(passes("POST", "127.0.0.1:3000", "https://evil.example", None, "*"));
        assert!(!passes("POST", "127.0.0.1:3000", "https://evil.example", None, "none"));
        assert!(!passes("POST", "127.0.0.1:3000", "null", None, "none"), "a sandboxed page");
        assert!(!passes("POST", "127.0.0.1:3000", "http://127.0.0.1:8080", None, "none"), "another port");
        assert!(!passes("DELETE", "127.0.0.1:3000", "https://evil.example", None, "https://chat.example"));
        assert!(passes("POST", "127.0.0.1:3000", "https://chat.example", None, "https://chat.example"));
        assert!(passes("GET", "127.0.0.1:3000", "https://evil.example", None, "none"), "it reads what it can't see");
        assert!(passes("POST", "127.0.0.1:3000", "", None, "none"), "no page");
    }

    #[test]
    fn the_servers_own_page_passes_by_a_name_that_is_surely_its_own() {
        assert!(passes("POST", "127.0.0.1:3000", "http://127.0.0.1:3000", None, "none"));
        assert!(passes("POST", "[::1]:3000", "http://[::1]:3000", None, "none"));
        assert!(passes("POST", "localhost:3000", "http://localhost:3000", None, "none"));
        assert!(!passes("POST", "evil.example:3000", "http://evil.example:3000", None, "none"), "rebound");
        let public = Some("https://images.example");
        assert!(passes("POST", "images.example", "https://images.example", public, "none"));
        assert!(!passes("POST", "evil.example", "https://evil.example", public, "none"));
    }
}
