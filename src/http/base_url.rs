//! URL at which a client reaches the server.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use url::Url;

/// URL that the client asked for, as Spin and the bundled host set it.
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");

/// Headers by which proxies say what the client asked for. Anyone can send them: nothing is made of them but a hint.
const FORWARDED: [HeaderName; 2] =
    [HeaderName::from_static("x-forwarded-proto"), HeaderName::from_static("x-forwarded-host")];

/// Origin that a proxy says that the client asked for, where it isn't that of `base`.
pub fn forwarded_elsewhere(base: &str, head: &Parts) -> Option<String> {
    let [scheme, host] = FORWARDED.map(|name| {
        let value = head.headers.get(name)?.to_str().ok()?;
        Some(value.split(',').next()?.trim().to_owned()).filter(|value| !value.is_empty())
    });
    if scheme.is_none() && host.is_none() {
        return None;
    }
    let base = Url::parse(base).ok()?;
    let scheme = scheme.unwrap_or_else(|| base.scheme().to_owned());
    let authority = base.authority().to_owned();
    let said = Url::parse(&format!("{scheme}://{}/", host.unwrap_or(authority))).ok()?.origin();
    (said.is_tuple() && said != base.origin()).then(|| said.ascii_serialization())
}

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

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn what_a_proxy_says_is_compared_with_the_links() {
        let elsewhere = |proto: &str, host: &str| {
            let mut request = Request::builder();
            for (name, value) in [("x-forwarded-proto", proto), ("x-forwarded-host", host)] {
                if !value.is_empty() {
                    request = request.header(name, value);
                }
            }
            forwarded_elsewhere("http://10.0.0.1:3000", &request.body(()).unwrap().into_parts().0)
        };
        assert_eq!(elsewhere("https", "images.example").as_deref(), Some("https://images.example"));
        assert_eq!(elsewhere("https", "").as_deref(), Some("https://10.0.0.1:3000"));
        assert_eq!(elsewhere("https, http", "images.example, inner").as_deref(), Some("https://images.example"));
        assert_eq!(elsewhere("", "images.example").as_deref(), Some("http://images.example"));
        for same in [("", ""), ("http", ""), ("http", "10.0.0.1:3000"), ("", "no host"), ("javascript", "x")] {
            assert_eq!(elsewhere(same.0, same.1), None, "{same:?}");
        }
    }
}
