//! Files of Spaces: the images that they have made.
//!
//! A `FileData` names a file by `path` and by `url`. The URL is made from the headers of the request that joined the
//! queue, so it can hold a proxy's name or raw spaces, and a Space can write anything into it. It isn't used: the
//! address is built from the path, below the Space's own origin. A path that is a URL is a file that the Space hasn't
//! got itself, but leaves at another host: it is fetched from there only where the settings say so
//! ([`super::image_hosts`]).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use super::config::Base;
use super::failure::Failure;
use super::space::Origin;

/// Everything but RFC 3986's unreserved characters and the slash.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest file path that is taken, in bytes before encoding.
const MAX_PATH: usize = 1024;

/// A file at a Space: who has it, and under which path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Origin that has it.
    pub origin: Origin,
    /// Its path there, percent-encoded, beginning with a slash.
    pub path: String,
}

impl RemoteFile {
    /// The file that a `FileData` names: by its path, or by a URL of the Space's own where there is no path.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] where it names none that can be fetched; [`Failure::Elsewhere`] where that is at another
    /// host.
    pub fn of_file_data(base: &Base, data: &Value) -> Result<Self, Failure> {
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        let own_path = |url: &str| {
            let encoded = url.strip_prefix(base.url("/file=").as_str())?;
            percent_decode_str(encoded).decode_utf8().ok().map(Cow::into_owned)
        };
        let path = match (text("path"), text("url")) {
            (Some(path), _) if behind_scheme(path).is_none() => Some(path.to_owned()),
            (Some(url), _) | (None, Some(url)) => match own_path(url) {
                None => match behind_scheme(url) {
                    Some(rest) => return Err(elsewhere(rest)),
                    None => None,
                },
                path => path,
            },
            (None, None) => None,
        };
        let Some(path) = path else { return Err(Failure::Unreadable("its output is no image file".into())) };
        // A URL parser takes dots away, so such a path would name another file than the Space meant.
        let dots = path.split(['/', '\\']).any(|segment| segment == "." || segment == "..");
        if path.is_empty() || path.len() > MAX_PATH || dots {
            return Err(Failure::Unreadable("its output names a file that can't be fetched".into()));
        }
        let path = base.path_and_query(&format!("/file={}", utf8_percent_encode(&path, PATH)));
        Ok(Self { origin: base.origin().clone(), path })
    }
}

/// Rest behind the scheme of an `http` or `https` URL.
fn behind_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(rest)
}

/// Failure of a file at the host of a URL, of which `rest` stands behind the scheme.
fn elsewhere(rest: &str) -> Failure {
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    // A name of the DNS has 253 characters at most, and a port 5. One of other letters than ASCII's isn't shown.
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if host.is_empty() || host.len() > 259 || !host.bytes().all(is_host) {
        return Failure::Unreadable("its output names a file that can't be fetched".into());
    }
    Failure::Elsewhere { host }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::space::Space;
    use serde_json::json;

    fn file(data: Value) -> Result<RemoteFile, Failure> {
        let space = Space::parse("http://127.0.0.1:7860").unwrap();
        RemoteFile::of_file_data(&Base::new(space.origin().clone(), "/gradio_api"), &data)
    }

    #[test]
    fn the_address_is_built_from_the_path_and_encoded() {
        let file = file(json!({"path": "/tmp/a b/红 #1?.png", "url": "http://evil.example/x"})).unwrap();
        assert_eq!(file.path, "/gradio_api/file=/tmp/a%20b/%E7%BA%A2%20%231%3F.png");
        assert_eq!(
            file.origin.url(&file.path).as_str(),
            "http://127.0.0.1:7860/gradio_api/file=/tmp/a%20b/%E7%BA%A2%20%231%3F.png"
        );
    }

    #[test]
    fn what_is_no_file_is_told() {
        let own = json!({"path": null, "url": "http://127.0.0.1:7860/gradio_api/file=/tmp/a%20b.png"});
        assert_eq!(file(own).unwrap().path, "/gradio_api/file=/tmp/a%20b.png", "a URL of the Space's own will do");
        for (data, host) in [
            (json!({"url": "http://evil.example/gradio_api/file=/x.png"}), "evil.example"),
            (json!({"path": "https://cdn.example:8443/a.png?x", "url": "x"}), "cdn.example:8443"),
            (json!({"path": "HTTPS://user:word@CDN.example\\@x/a.png"}), "cdn.example"),
            (json!({"path": "http://[::1]:80#x"}), "[::1]:80"),
        ] {
            assert_eq!(file(data), Err(Failure::Elsewhere { host: host.to_owned() }));
        }
        let own = json!({"path": "http://127.0.0.1:7860/gradio_api/file=/tmp/a%20b.png"});
        assert_eq!(file(own).unwrap().path, "/gradio_api/file=/tmp/a%20b.png");
        for url in [
            "http://",
            "https://b\u{fc}cher.example/",
            "https://a b/",
            &format!("https://{}.example/", "x".repeat(300)),
        ] {
            assert!(matches!(file(json!({ "path": url })), Err(Failure::Unreadable(_))), "{url}");
        }
        for output in [json!(7), json!("x"), json!([]), json!({}), json!({"path": null}), json!({"path": ""})] {
            assert!(matches!(file(output.clone()), Err(Failure::Unreadable(_))), "{output}");
        }
        for path in ["/a/../b", "../b", "/a/.", "C:\\..\\b", &"x".repeat(2000)] {
            assert!(matches!(file(json!({ "path": path })), Err(Failure::Unreadable(_))), "{path}");
        }
    }
}
