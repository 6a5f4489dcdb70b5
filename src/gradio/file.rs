//! Files of Spaces: the images that they have made.
//!
//! A `FileData` names a file by `path` and by `url`. The URL is made from the headers of the request that joined the
//! queue, so it can hold a proxy's name or raw spaces, and a Space can write anything into it. It isn't used: the
//! address is built from the path, below the Space's own origin. A path that is a URL is a file that the Space hasn't
//! got itself, but leaves at another host: it is not fetched from there.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use url::Url;

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
            (Some(path), _) if !is_url(path) => Some(path.to_owned()),
            (Some(url), _) | (None, Some(url)) => match own_path(url) {
                None if is_url(url) => return Err(elsewhere(url)),
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

fn is_url(text: &str) -> bool {
    ["http://", "https://"]
        .into_iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)))
}

/// Failure of a file at the host of `url`.
fn elsewhere(url: &str) -> Failure {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| Some((url.host_str()?, url.port())));
    match host {
        // A name of the DNS has 253 characters at most.
        Some((host, port)) if host.len() <= 253 => {
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            Failure::Elsewhere { host: format!("{host}{port}") }
        }
        _ => Failure::Unreadable("its output names a file that can't be fetched".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::space::Space;
    use serde_json::json;

    fn file(data: Value) -> Result<RemoteFile, Failure> {
        let space = Space::parse("http://127.0.0.1:7860").unwrap();
        RemoteFile::of_file_data(&Base::new(space.origin().clone(), "/gradio_api".into()), &data)
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
            (json!({"path": "HTTPS://user:word@B\u{fc}cher.example/a.png"}), "xn--bcher-kva.example"),
        ] {
            assert_eq!(file(data), Err(Failure::Elsewhere { host: host.to_owned() }));
        }
        let own = json!({"path": "http://127.0.0.1:7860/gradio_api/file=/tmp/a%20b.png"});
        assert_eq!(file(own).unwrap().path, "/gradio_api/file=/tmp/a%20b.png");
        for url in ["http://", "https://[", &format!("https://{}.example/", "x".repeat(300))] {
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
