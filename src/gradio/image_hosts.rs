//! Hosts other than the Spaces' own that images may be fetched from.
//!
//! A Space may leave an image at another host and name it by a URL. It is fetched from there only where the settings
//! name that origin, and without anything that is the Space's: no token and no cookie.

use std::rc::Rc;

use url::Url;

use super::space::{Origin, Space};
use crate::safe_url::is_safe;

/// Number of origins, at most.
const MOST: usize = 32;
/// The longest path and query that are taken, in bytes: signed URLs have long ones.
const MAX_PATH: usize = 4096;

/// Origins that images may be fetched from, besides their Spaces. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageHosts(Rc<[Origin]>);

impl ImageHosts {
    /// Parses comma-separated origins: `https`, or `http` on loopback.
    ///
    /// # Errors
    /// The origins of a list that has something else too.
    pub fn parse(text: &str) -> Result<Self, Self> {
        let listed: Vec<&str> = text.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
        let origins: Rc<[Origin]> = listed.iter().filter_map(|one| origin(one)).take(MOST).collect();
        let is_whole = origins.len() == listed.len();
        if is_whole { Ok(Self(origins)) } else { Err(Self(origins)) }
    }

    /// The origins.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.0.iter()
    }

    /// Origin, path and query of a URL, where it is at one of the origins.
    pub fn find(&self, url: &str) -> Option<(&Origin, String)> {
        let url = Url::parse(url).ok().filter(is_safe)?;
        let origin = self.0.iter().find(|origin| origin.is_of(&url))?;
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        (path.len() <= MAX_PATH).then_some((origin, path))
    }
}

/// The origin of that text: no path, and no wildcard.
fn origin(text: &str) -> Option<Origin> {
    let url = Url::parse(text).ok().filter(is_safe)?;
    let is_bare = url.path() == "/" && !text.contains(['*', '?', '#']);
    // What else an origin must be is said where Spaces' are read.
    Space::parse(text).ok().filter(|_| is_bare).map(|space| space.origin().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> ImageHosts {
        ImageHosts::parse(text).unwrap()
    }

    #[test]
    fn only_whole_origins_over_tls_or_on_loopback_are_listed() {
        let two = hosts(" https://CDN.example, http://127.0.0.1:8000/,");
        let shown: Vec<_> = two.0.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["https://cdn.example", "http://127.0.0.1:8000"]);
        assert_eq!(hosts(""), ImageHosts::default());
        for wrong in [
            "cdn.example",
            "http://cdn.example",
            "http://10.0.0.1",
            "https://*.cdn.example",
            "https://*",
            "https://cdn.example/images",
            "https://user:word@cdn.example",
            "https://cdn.example?x",
            "https://cdn.example#x",
            "ftp://cdn.example",
            "file:///etc/passwd",
            "owner/name",
        ] {
            assert_eq!(ImageHosts::parse(&format!("{wrong},https://a.example")), Err(hosts("https://a.example")));
        }
        let many = (0..40).map(|number| format!("https://{number}.example")).collect::<Vec<_>>().join(",");
        assert_eq!(ImageHosts::parse(&many).unwrap_err().0.len(), MOST);
    }

    #[test]
    fn a_file_is_found_at_an_origin_that_is_listed_and_at_no_other() {
        let hosts = hosts("https://cdn.example,https://b.example:8443,http://127.0.0.1:8000");
        for (url, found) in [
            ("https://cdn.example/a b.png?sign=1&x=%2F#part", "https://cdn.example/a%20b.png?sign=1&x=%2F"),
            ("HTTPS://CDN.EXAMPLE:443", "https://cdn.example/"),
            ("https://b.example:8443/x", "https://b.example:8443/x"),
            ("http://127.0.0.1:8000//evil.example/x", "http://127.0.0.1:8000//evil.example/x"),
            ("https://cdn.example\\@evil.example/x", "https://cdn.example/@evil.example/x"),
        ] {
            let (origin, path) = hosts.find(url).unwrap();
            assert_eq!(origin.url(&path).as_str(), found);
        }
        for url in [
            "http://cdn.example/a.png",
            "https://cdn.example:444/a.png",
            "https://a.cdn.example/a.png",
            "https://cdn.example.evil.example/a.png",
            "https://cdn.example@evil.example/a.png",
            "https://user@cdn.example/a.png",
            "http://127.0.0.1:8001/",
            "http://localhost:8000/",
            "//cdn.example/a.png",
            "",
            &format!("https://cdn.example/{}", "x".repeat(MAX_PATH)),
        ] {
            assert_eq!(hosts.find(url), None, "{url}");
        }
        assert_eq!(ImageHosts::default().find("https://cdn.example/a.png"), None);
    }
}
