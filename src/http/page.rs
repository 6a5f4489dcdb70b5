//! Requests of web pages to a server that asks for no key.
//!
//! A browser sends a page's `POST` to any server, this one on the user's machine among them, and only keeps the answer
//! from the page: the images are made all the same. With a key that is no danger, as pages don't have it. Without one,
//! an operator who restricts the origins (`cors_origins`) means this too.
//!
//! A page can also have its own name lead to this server (DNS rebinding), and is of the same origin then: it may read
//! answers too, and its `GET`s don't say where they come from. So where the origins are restricted, the server only
//! answers to names that no stranger can have lead to it: the name in `public_url`, addresses, and names that the
//! public DNS doesn't know.

use http::header::ORIGIN;
use http::request::Parts;
use url::{Host, Url};

use super::base_url::base_url;
use super::cors::CorsOrigins;
use crate::error::Error;

/// Last labels of names that the public DNS doesn't know: RFC 6761, RFC 6762, and ICANN's reservation of `internal`.
const PRIVATE: [&str; 3] = ["localhost", "local", "internal"];

/// Checks that a request is not a foreign page's. `public_url` is the configured URL.
///
/// # Errors
/// 403 for a name that may be a page's, and for a page of another origin that changes something.
pub fn refuse_foreign(origins: &CorsOrigins, public_url: Option<&str>, head: &Parts) -> Result<(), Error> {
    let CorsOrigins::Only(listed) = origins else { return Ok(()) };
    let asked = Url::parse(&base_url(None, head)).ok();
    let public = public_url.and_then(|url| Url::parse(url).ok());
    if !asked.as_ref().is_none_or(|asked| is_own_name(asked, public.as_ref())) {
        return Err(Error::foreign_name());
    }
    let Some(origin) = head.headers.get(ORIGIN) else { return Ok(()) };
    if head.method.is_safe() || listed.iter().any(|one| one.as_bytes() == origin.as_bytes()) {
        return Ok(());
    }
    let page = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
    let (Some(page), Some(own)) = (page, public.or(asked)) else { return Err(Error::foreign_page()) };
    // A proxy may have taken off the encryption: the scheme says nothing.
    if page.host() == own.host() && page.port() == own.port() { Ok(()) } else { Err(Error::foreign_page()) }
}

/// True for a name that no stranger can have lead here.
fn is_own_name(asked: &Url, public: Option<&Url>) -> bool {
    match asked.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let is_private = name.rsplit_once('.').is_none_or(|(_, last)| PRIVATE.contains(&last));
            is_private || public.is_some_and(|public| public.host_str() == Some(name))
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => true,
    }
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
        assert!(passes("POST", "127.0.0.1:3000", "https://images.example", public, "none"), "behind a proxy");
        assert!(!passes("POST", "evil.example", "https://evil.example", public, "none"));
        assert!(!passes("POST", "images.example", "https://evil.example", public, "none"));
    }

    #[test]
    fn the_server_answers_only_to_names_that_no_stranger_can_have() {
        for own in ["127.0.0.1:3000", "[::1]", "192.168.0.7:80", "localhost:3000", "a.localhost", "images:3000"] {
            assert!(passes("GET", own, "", None, "none"), "{own}");
        }
        assert!(passes("GET", "images.default.svc.cluster.local", "", None, "none"));
        for foreign in ["evil.example", "evil.example.:3000", "127.0.0.1.evil.example", "localhost.evil.example:3000"] {
            for method in ["GET", "POST", "DELETE"] {
                assert!(!passes(method, foreign, "", None, "none"), "{method} {foreign}");
                assert!(!passes(method, foreign, "", Some("https://images.example/api"), "none"));
                assert!(passes(method, foreign, "", None, "*"));
            }
        }
        assert!(passes("GET", "images.example", "", Some("https://images.example/api"), "none"));
        assert!(!passes("GET", "images.example", "", None, "none"), "it isn't known that it is its own");
    }
}
