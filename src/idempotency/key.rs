//! Identity of requests: keys and fingerprints.

use http::{HeaderMap, HeaderName};
use memchr::memmem;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::hex::hex;

/// Header with the client's key.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Maximum length of a key, in characters, as at Stripe.
const MAX_KEY: usize = 255;

/// Digest of a client's key, its caller and its route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Parses the key of a request of `caller` on `route`. Quotation marks count as part of it.
    ///
    /// # Errors
    /// 400 for an invalid key.
    pub fn of(headers: &HeaderMap, caller: &str, route: &str) -> Result<Option<Self>, Error> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let key = value.as_bytes();
        let is_key = (1..=MAX_KEY).contains(&key.len()) && key.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_key || values.next().is_some() {
            return Err(Error::bad_idempotency_key());
        }
        Ok(Some(Self(hex(&digest([caller.as_bytes(), route.as_bytes(), key])))))
    }

    /// Lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Digest of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Fingerprint in its stored form.
    pub fn kept(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Incremental fingerprint of a request while its body arrives.
///
/// A form is digested part by part, without its boundaries, since both SDKs draw another boundary for each attempt.
pub struct Fingerprinting {
    whole: Sha256,
    part: Sha256,
    /// Delimiter of a form's parts; empty for other bodies.
    delimiter: Vec<u8>,
    /// Bytes that aren't digested yet, as a delimiter may begin in them.
    rest: Vec<u8>,
}

impl Fingerprinting {
    /// A fingerprint over `beside`, the distinguishing parts outside of the body, and the body. `boundary` is that of a
    /// form.
    pub fn new<'a>(beside: impl IntoIterator<Item = &'a [u8]>, boundary: Option<&str>) -> Self {
        let whole = Sha256::new_with_prefix(digest(beside));
        let delimiter = boundary.map(|boundary| format!("--{boundary}").into_bytes()).unwrap_or_default();
        Self { whole, part: Sha256::new(), delimiter, rest: Vec::new() }
    }

    /// Digests a piece of the body.
    pub fn take(&mut self, piece: &[u8]) {
        if self.delimiter.is_empty() {
            self.part.update(piece);
            return;
        }
        self.rest.extend_from_slice(piece);
        let mut rest = self.rest.as_slice();
        while let Some(at) = memmem::find(rest, &self.delimiter) {
            let (part, behind) = rest.split_at(at);
            self.part.update(part);
            self.whole.update(self.part.finalize_reset());
            rest = behind.get(self.delimiter.len()..).unwrap_or_default();
        }
        let (part, open) = rest.split_at(rest.len().saturating_sub(self.delimiter.len() - 1));
        self.part.update(part);
        self.rest = open.to_vec();
    }

    /// Fingerprint of the complete request.
    pub fn finish(mut self) -> Fingerprint {
        self.part.update(&self.rest);
        self.whole.update(self.part.finalize());
        Fingerprint(hex(&self.whole.finalize()))
    }
}

/// Digest of a list that keeps its items apart.
fn digest<'a>(items: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for item in items {
        digest.update(Sha256::digest(item));
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn key(values: &[&[u8]], caller: &str, route: &str) -> Result<Option<IdempotencyKey>, Error> {
        let values = values.iter().map(|value| (HEADER, HeaderValue::from_bytes(value).unwrap()));
        let mut headers = HeaderMap::new();
        headers.extend(values);
        IdempotencyKey::of(&headers, caller, route)
    }

    #[test]
    fn a_key_belongs_to_its_caller_and_route() {
        let one = key(&[b"k"], "me", "edits").unwrap();
        assert!(one.is_some() && one == key(&[b"k"], "me", "edits").unwrap());
        for (value, caller, route) in
            [("K", "me", "edits"), ("k", "you", "edits"), ("k", "me", "chat"), ("s", "me", "edit")]
        {
            assert_ne!(key(&[value.as_bytes()], caller, route).unwrap(), one, "{value} {caller} {route}");
        }
        assert_eq!(key(&[], "me", "edits"), Ok(None));
        assert!(key(&["k".repeat(255).as_bytes()], "me", "edits").is_ok());
        let long = "k".repeat(256);
        for wrong in [&[b"".as_slice()] as &[_], &[long.as_bytes()], &["é".as_bytes()], &[b"a\tb"], &[b"k", b"k"]] {
            assert_eq!(key(wrong, "me", "edits").unwrap_err().status.as_u16(), 400, "{wrong:?}");
        }
    }

    fn of_form(boundary: &str, parts: &[&str], size: usize) -> Fingerprint {
        let mut form = String::new();
        for part in parts {
            form += &format!("--{boundary}\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n{part}\r\n");
        }
        form += &format!("--{boundary}--\r\n");
        let mut taking = Fingerprinting::new([b"edits".as_slice()], Some(boundary));
        form.as_bytes().chunks(size).for_each(|piece| taking.take(piece));
        taking.finish()
    }

    #[test]
    fn a_form_is_the_same_with_another_boundary_and_however_it_is_cut() {
        let parts = ["one", "--", "three\r\n-", ""];
        let one = of_form("xyz", &parts, 1000);
        for size in [1, 2, 3, 5, 7, 64] {
            assert_eq!(of_form("xyz", &parts, size), one, "in pieces of {size}");
            assert_eq!(of_form("a-much-longer-boundary", &parts, size), one);
        }
        assert_ne!(of_form("xyz", &["one", "--", "three\r\n-"], 1000), one);
        assert_ne!(of_form("xyz", &["--", "one", "three\r\n-", ""], 1000), one);
    }

    #[test]
    fn another_text_or_model_is_another_request() {
        let of = |beside: &[&[u8]], body: &[u8]| {
            let mut taking = Fingerprinting::new(beside.iter().copied(), None);
            taking.take(body);
            taking.finish()
        };
        let one = of(&[b"m", b""], b"{}");
        assert_eq!(of(&[b"m", b""], b"{}"), one);
        assert_ne!(of(&[b"", b"m"], b"{}"), one);
        assert_ne!(of(&[b"m", b""], b"{ }"), one);
        assert_eq!(Fingerprint::kept(one.as_str()), one);
    }
}
