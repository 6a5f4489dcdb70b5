//! Cookies of a job at a Space.
//!
//! A balancer in front of a Space's replicas may name the replica in a cookie of its first answer. The queue and the
//! files of a replica are its own, so every call of a job must carry it: upload, join, stream, file and cancel. What is
//! kept goes to the origin that set it, and lives as long as the job: it is in no link, no record and no log.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use url::Url;

use super::space::Origin;

/// Number of cookies that are kept, at most.
const MOST: usize = 16;
/// Length of a cookie's name and value, at most, in bytes (RFC 6265 section 6.1).
const LONGEST: usize = 4096;

/// Cookies of one origin. Clones share them.
#[derive(Clone)]
pub struct CookieJar(Rc<Cookies>);

struct Cookies {
    origin: Origin,
    /// Names and values, in the order in which they came.
    pairs: RefCell<Vec<(String, String)>>,
}

impl CookieJar {
    /// A jar without cookies.
    pub fn new(origin: Origin) -> Self {
        Self(Rc::new(Cookies { origin, pairs: RefCell::default() }))
    }

    /// A jar of its own with the same cookies.
    pub fn copy(&self) -> Self {
        Self(Rc::new(Cookies { origin: self.0.origin.clone(), pairs: self.0.pairs.clone() }))
    }

    /// Keeps what an answer from `url` sets. Of a cookie's attributes only an end that has come counts.
    pub(super) fn keep(&self, url: &Url, headers: &HeaderMap) {
        if !self.0.origin.is_of(url) {
            return;
        }
        for header in headers.get_all(SET_COOKIE) {
            let Some((name, value, is_over)) = header.to_str().ok().and_then(read) else { continue };
            let mut cookies = self.0.pairs.borrow_mut();
            cookies.retain(|(known, _)| known != name);
            if !is_over && cookies.len() < MOST {
                cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// Value of the header `Cookie` of a call to `url`, where it is to have one.
    pub(super) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let cookies = self.0.pairs.borrow();
        if cookies.is_empty() || !self.0.origin.is_of(url) {
            return None;
        }
        let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut header = HeaderValue::from_str(&pairs.join("; ")).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieJar")
    }
}

impl PartialEq for CookieJar {
    /// True for the same jar.
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CookieJar {}

/// Name and value of a `Set-Cookie` header (RFC 6265 section 5.2), and true where its time is over.
fn read(header: &str) -> Option<(&str, &str, bool)> {
    let mut parts = header.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_sendable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b",;".contains(&byte));
    if name.is_empty() || name.len() + value.len() > LONGEST || !is_sendable(name) || !is_sendable(value) {
        return None;
    }
    let seconds = parts.find_map(|part| {
        let (attribute, value) = part.split_once('=')?;
        attribute.trim().eq_ignore_ascii_case("max-age").then(|| value.trim().parse::<i64>().ok())?
    });
    Some((name, value, seconds.is_some_and(|seconds| seconds <= 0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::space::Space;

    fn jar() -> CookieJar {
        CookieJar::new(Space::parse("https://a.example").unwrap().origin().clone())
    }

    fn set(jar: &CookieJar, url: &str, values: &[&'static str]) {
        let values = values.iter().map(|value| (SET_COOKIE, HeaderValue::from_static(value)));
        jar.keep(
            &Url::parse(url).unwrap(),
            &values.fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            }),
        );
    }

    fn sent(jar: &CookieJar, url: &str) -> Option<String> {
        jar.header(&Url::parse(url).unwrap()).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn cookies_go_back_to_the_origin_that_has_set_them_and_nowhere_else() {
        let jar = jar();
        set(&jar, "https://evil.example/", &["x=1"]);
        assert_eq!(sent(&jar, "https://a.example/queue/join"), None);
        set(&jar, "https://a.example/queue/join", &["replica=b7; Path=/; HttpOnly; Secure", "two=\"2\"; Max-Age=60"]);
        assert_eq!(sent(&jar, "https://a.example/queue/data?x").as_deref(), Some("replica=b7; two=\"2\""));
        for url in ["http://a.example/", "https://a.example:444/", "https://b.a.example/", "https://evil.example/"] {
            assert_eq!(sent(&jar, url), None, "{url}");
        }
        set(&jar, "https://a.example/", &["replica=c8", "two=; Max-Age=0"]);
        assert_eq!(sent(&jar, "https://a.example/").as_deref(), Some("replica=c8"));
        let copy = jar.copy();
        set(&copy, "https://a.example/", &["replica=d9"]);
        assert_eq!(sent(&jar, "https://a.example/").as_deref(), Some("replica=c8"), "each job has its own");
    }

    #[test]
    fn what_is_no_cookie_or_too_much_is_not_kept_and_nothing_is_shown() {
        let jar = jar();
        set(&jar, "https://a.example/", &["", "=x", "a", "a b=c", "a=b\tc", "a=b,c"]);
        assert_eq!(sent(&jar, "https://a.example/"), None);
        let names: Vec<&'static str> = (0..100).map(|number| &*format!("n{number}=x").leak()).collect();
        set(&jar, "https://a.example/", &names);
        assert_eq!(sent(&jar, "https://a.example/").unwrap().split("; ").count(), MOST);
        set(&jar, "https://a.example/", &[format!("n0={}", "x".repeat(LONGEST)).leak()]);
        assert!(sent(&jar, "https://a.example/").unwrap().len() < 200);
        let header = jar.header(&Url::parse("https://a.example/").unwrap()).unwrap();
        assert_eq!(format!("{jar:?} {header:?}"), "CookieJar Sensitive");
    }
}
