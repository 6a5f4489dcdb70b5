//! A Space's name and address.

use std::fmt;

use thiserror::Error;
use url::Url;

/// A Gradio app: one of Hugging Face's, or one on a host of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// `owner/name`, or the origin of a Space elsewhere: what people call it.
    name: String,
    /// Where it answers.
    origin: Origin,
}

/// Scheme, host and port: all of a URL that says who answers, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Url);

/// A text that names no Space.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{text}` names no Space: write owner/name, or https://host for a Space elsewhere")]
pub struct InvalidSpace {
    /// The text.
    text: String,
}

impl Space {
    /// Reads `owner/name` or `http(s)://host[:port]`.
    ///
    /// Hugging Face serves `Owner/Some_Name.x` at `https://owner-some-name-x.hf.space`: in lower case, and with a hyphen
    /// for every character that a host name can't hold.
    ///
    /// # Errors
    /// Where the text is neither: a path, user, query or fragment behind a host is refused, since it would be lost.
    pub fn parse(text: &str) -> Result<Self, InvalidSpace> {
        let invalid = || InvalidSpace { text: text.chars().take(100).collect() };
        if text.contains("://") {
            let url = Url::parse(text).map_err(|_| invalid())?;
            let bare = matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|host| !host.is_empty())
                && url.username().is_empty()
                && url.password().is_none()
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none();
            let origin = bare.then_some(Origin(url)).ok_or_else(invalid)?;
            return Ok(Self { name: origin.to_string(), origin });
        }
        let (owner, name) = text.split_once('/').ok_or_else(invalid)?;
        let is_part = |part: &str| {
            !part.is_empty()
                && part.len() <= 96
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !is_part(owner) || !is_part(name) {
            return Err(invalid());
        }
        let host: String = format!("{owner}-{name}")
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let url = Url::parse(&format!("https://{host}.hf.space/")).map_err(|_| invalid())?;
        Ok(Self { name: text.to_owned(), origin: Origin(url) })
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it answers.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Origin {
    /// The URL of `path_and_query` there. It begins with `/`; what a Space says can't make it lead to another host.
    pub fn url(&self, path_and_query: &str) -> Url {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let mut url = self.0.clone();
        url.set_path(path);
        url.set_query(query);
        url
    }
}

impl fmt::Display for Origin {
    /// As a browser writes it: `https://host`, with the port only where it isn't the scheme's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> String {
        Space::parse(text).unwrap().origin().to_string()
    }

    #[test]
    fn owner_and_name_become_a_host_of_hugging_face() {
        assert_eq!(origin("mrfakename/Z-Image-Turbo"), "https://mrfakename-z-image-turbo.hf.space");
        assert_eq!(origin("Owner/Some_Name.x"), "https://owner-some-name-x.hf.space");
        assert_eq!(Space::parse("Owner/Some_Name.x").unwrap().name(), "Owner/Some_Name.x");
    }

    #[test]
    fn an_origin_is_taken_as_it_is() {
        assert_eq!(origin("http://127.0.0.1:7860"), "http://127.0.0.1:7860");
        assert_eq!(origin("https://Example.com:443/"), "https://example.com");
    }

    #[test]
    fn what_names_no_space_is_refused() {
        for text in [
            "",
            "x",
            "/",
            "a/",
            "/b",
            "a/b/c",
            "a b/c",
            "ftp://host",
            "http://",
            "https://host/path",
            "https://u@host",
            "https://host?q",
            "https://host#f",
            "a/b@evil.example",
            "https://u:p@host",
        ] {
            assert!(Space::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_never_leads_to_another_host() {
        let origin = Space::parse("http://127.0.0.1:7860").unwrap().origin().clone();
        for path in ["//evil.example/x", "/\\evil.example", "http://evil.example/", "/..//evil", "/@evil.example", "?x"]
        {
            let url = origin.url(path);
            assert_eq!((url.host_str(), url.port()), (Some("127.0.0.1"), Some(7860)), "{path}: {url}");
        }
        assert_eq!(origin.url("/a/b?c=d").as_str(), "http://127.0.0.1:7860/a/b?c=d");
    }
}
