//! Where a Space keeps an image that it has made.
//!
//! A `FileData` names a file by `path` and by `url`. The URL is made from the headers of the request that joined the
//! queue, so it can hold a proxy's name or raw spaces, and a Space can write anything into it. It isn't used: the address
//! is built from the path, below the Space's own origin.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
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
    /// Who has it.
    pub origin: Origin,
    /// Its path there, percent-encoded, beginning with a slash.
    pub path: String,
}

impl RemoteFile {
    /// The file that a function's output names: a `FileData`, as an Image component gives.
    ///
    /// # Errors
    /// [`Failure::NoImage`] for null; [`Failure::Unreadable`] for anything else that isn't a file.
    pub fn of_output(base: &Base, output: Option<&Value>) -> Result<Self, Failure> {
        let output = match output {
            None | Some(Value::Null) => return Err(Failure::NoImage),
            Some(output) => output,
        };
        let Some(path) = output.get("path").and_then(Value::as_str) else {
            return Err(Failure::Unreadable("its output is no image file".into()));
        };
        // A URL parser takes dots away, so such a path would name another file than the Space meant.
        let dots = path.split(['/', '\\']).any(|segment| segment == "." || segment == "..");
        if path.is_empty() || path.len() > MAX_PATH || dots {
            return Err(Failure::Unreadable("its output names a file that can't be fetched".into()));
        }
        let path = base.path_and_query(&format!("/file={}", utf8_percent_encode(path, PATH)));
        Ok(Self { origin: base.origin().clone(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::config::Config;
    use crate::gradio::space::Space;
    use serde_json::json;

    fn file(output: Value) -> Result<RemoteFile, Failure> {
        let config = br#"{"protocol":"sse_v3","api_prefix":"/gradio_api","dependencies":[{"id":1,"api_name":"x"}]}"#;
        let config = Config::parse(Space::parse("http://127.0.0.1:7860").unwrap().origin(), config).unwrap();
        RemoteFile::of_output(&config.endpoint("x").unwrap().base, Some(&output))
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
        assert_eq!(file(Value::Null), Err(Failure::NoImage));
        for output in [json!(7), json!("x"), json!([]), json!({}), json!({"path": null}), json!({"path": ""})] {
            assert!(matches!(file(output.clone()), Err(Failure::Unreadable(_))), "{output}");
        }
        for path in ["/a/../b", "../b", "/a/.", "C:\\..\\b", &"x".repeat(2000)] {
            assert!(matches!(file(json!({ "path": path })), Err(Failure::Unreadable(_))), "{path}");
        }
    }
}
