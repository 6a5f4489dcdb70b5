//! URL at which a client reaches the server.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use url::Url;

/// URL that the client asked for, as Spin and the bundled host set it.
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");

/// URL at which the client reaches the server, without a slash at the end: the configured one, or the origin of the URL
/// that it asked for, as the host reports it. A client that lies about its `Host` gets links that lead it there, and
/// nobody else.
pub fn base_url(configured: Option<&str>, head: &Parts) -> String {
    if let Some(url) = configured {
        return url.to_owned();
    }
    let header = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let asked = header(FULL_URL).map(str::to_owned).or_else(|| {
        let scheme = head.uri.scheme_str().unwrap_or("http");
        let authority = head.uri.authority().map(http::uri::Authority::as_str).or_else(|| header(HOST))?;
        Some(format!("{scheme}://{authority}/"))
    });
    let origin = asked.and_then(|url| Url::parse(&url).ok()).map(|url| url.origin()).filter(url::Origin::is_tuple);
    // Without an origin, a path is still a link for a client that knows where it came from.
    origin.map_or_else(String::new, |origin| origin.ascii_serialization())
}
