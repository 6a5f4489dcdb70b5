//! A Space's name and address.

use std::fmt;
use std::rc::Rc;

use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use url::Url;

use crate::hex::hex;

/// A Gradio app: one of Hugging Face's, or one on a host of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// `owner/name`, or the origin of a Space elsewhere: what people call it.
    name: Rc<str>,
    /// Origin that answers.
    origin: Origin,
    /// `api_name` of the function that makes images, without a slash, where somebody has named it.
    endpoint: Option<Rc<str>>,
    /// Tokens that let us in where it is private, and whose GPU quota is used. Any of them will do.
    tokens: Rc<[Token]>,
}

/// A Hugging Face access token. It can't be printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    /// The token of that text, unless a header can't hold it.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// Digest that distinguishes it from others, and shows nothing of it.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new().chain_update(b"token\0").chain_update(&self.0).finalize();
        hex(digest.iter().take(8))
    }

    /// Value of an `Authorization` header.
    pub fn bearer(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Scheme, host and port: all of a URL that says who answers, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Rc<Url>);

/// A text that names no Space.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "`{text}` names no Space: write owner/name, or https://host for a Space elsewhere, either with /endpoint behind it"
)]
pub struct InvalidSpace {
    /// The text.
    text: String,
}

impl Space {
    /// Reads `owner/name` or `http(s)://host[:port]`, either with `/endpoint` behind it.
    ///
    /// Hugging Face serves `Owner/Some_Name.x` at `https://owner-some-name-x.hf.space`: in lower case, and with a
    /// hyphen for every character that a host name can't hold.
    ///
    /// # Errors
    /// Where the text is neither: a longer path, a user, query or fragment is refused, since it would be lost.
    pub fn parse(text: &str) -> Result<Self, InvalidSpace> {
        let invalid = || InvalidSpace { text: text.chars().take(100).collect() };
        let endpoint = |name: &str| match name {
            "" => Ok(None),
            name if is_name(name) => Ok(Some(Rc::from(name))),
            _ => Err(invalid()),
        };
        if text.contains("://") {
            let mut url = Url::parse(text).map_err(|_| invalid())?;
            let bare = matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|host| !host.is_empty())
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            if !bare {
                return Err(invalid());
            }
            let endpoint = endpoint(url.path().trim_start_matches('/'))?;
            url.set_path("/");
            let origin = Origin(Rc::new(url));
            return Ok(Self { name: origin.to_string().into(), origin, endpoint, tokens: Rc::default() });
        }
        let mut parts = text.splitn(3, '/');
        let (Some(owner), Some(name)) = (parts.next(), parts.next()) else { return Err(invalid()) };
        if !is_name(owner) || !is_name(name) {
            return Err(invalid());
        }
        let endpoint = match parts.next() {
            Some("") => return Err(invalid()),
            rest => endpoint(rest.unwrap_or_default())?,
        };
        let host: String = format!("{owner}-{name}")
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let url = Url::parse(&format!("https://{host}.hf.space/")).map_err(|_| invalid())?;
        let (name, origin) = (format!("{owner}/{name}").into(), Origin(Rc::new(url)));
        Ok(Self { name, origin, endpoint, tokens: Rc::default() })
    }

    /// The Space with those tokens.
    pub fn with_tokens(self, tokens: Vec<Token>) -> Self {
        Self { tokens: tokens.into(), ..self }
    }

    /// The Space with that endpoint, where there is one.
    pub fn with_endpoint(self, endpoint: Option<String>) -> Self {
        Self { endpoint: endpoint.map(Rc::from).or(self.endpoint), ..self }
    }

    /// `api_name` of the function that makes images, where somebody has named it.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Tokens that let us in where it is private, and whose GPU quota is used.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Its `owner/name` at Hugging Face, unless it is elsewhere.
    pub fn hugging_face_id(&self) -> Option<&str> {
        (!self.name.contains("://")).then_some(&*self.name)
    }

    /// Name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Origin that answers.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// True for what can be the name of an owner, a Space or an endpoint.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= 96 && text.bytes().all(allowed) && text != "." && text != ".."
}

impl Origin {
    /// True for a Space of Hugging Face that is reached over TLS: the only place a token may go to.
    pub fn takes_tokens(url: &Url) -> bool {
        url.scheme() == "https" && url.host_str().is_some_and(|host| host.ends_with(".hf.space"))
    }

    /// The host, with its port where that isn't the scheme's own.
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// True for a URL there.
    pub fn is_of(&self, url: &Url) -> bool {
        self.0.origin() == url.origin()
    }

    /// The URL of `path_and_query` there. It begins with `/`; what a Space says can't make it lead to another host.
    pub fn url(&self, path_and_query: &str) -> Url {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let mut url = Url::clone(&self.0);
        url.set_path(path);
        url.set_query(query);
        url
    }
}

impl fmt::Display for Origin {
    /// Writes it as a browser does: `https://host`, with the port only where it isn't the scheme's own.
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
            "a/b/",
            "a/b/c/d",
            "a b/c",
            "ftp://host",
            "http://",
            "https://host/path/more",
            "https://u@host",
            "https://host?q",
            "https://host#f",
            "a/b@evil.example",
            "https://u:p@host",
            "a/b/../c",
            "a/b/..",
        ] {
            assert!(Space::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_endpoint_may_stand_behind_it() {
        let space = Space::parse("a/b/infer").unwrap();
        assert_eq!(
            (space.name(), space.endpoint(), space.origin().to_string().as_str()),
            ("a/b", Some("infer"), "https://a-b.hf.space")
        );
        let space = Space::parse("http://127.0.0.1:7860/generate_image").unwrap();
        assert_eq!((space.name(), space.endpoint()), ("http://127.0.0.1:7860", Some("generate_image")));
        assert_eq!(Space::parse("a/b").unwrap().hugging_face_id(), Some("a/b"));
    }

    #[test]
    fn tokens_go_to_hugging_face_over_tls_only_and_are_never_shown() {
        let takes = |url: &str| Origin::takes_tokens(&Url::parse(url).unwrap());
        assert!(takes("https://a-b.hf.space/config"));
        for url in [
            "http://a-b.hf.space/",
            "https://hf.space.evil.example/",
            "https://evilhf.space/",
            "https://huggingface.co/",
        ] {
            assert!(!takes(url), "{url}");
        }
        let space = Space::parse("a/b").unwrap().with_tokens(vec![Token::new("hf_secret").unwrap()]);
        assert!(!format!("{space:?}").contains("secret"));
        assert!(!format!("{:?}", space.tokens()[0].bearer()).contains("secret"));
        assert!(!space.tokens()[0].fingerprint().contains("secret"));
        assert_eq!(Token::new("hf_\r\nx: y"), None);
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
