//! Signed image links.
//!
//! A link's token names a Space by a digest of its origin, a path there and an expiry, and is signed with HMAC-SHA-256
//! (RFC 2104), of which 128 bits are kept. It carries no URL: whoever reads it can't use it elsewhere, and whoever
//! changes a bit of it gets nothing. What is fetched is looked up among the configured Spaces, so a link can't widen
//! what the component connects to, even with the right signature.
//!
//! The secret is the variable `link_secret`, or else random bytes that the database keeps ([`super::keyring`]). It is
//! not derived from the API keys: a link is public, and would let anyone try out guesses of a weak key offline.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::file::{ImageFile, StoredImage};
use crate::generation::{Format, TargetFormat};
use crate::gradio::file::RemoteFile;
use crate::gradio::space::Origin;

/// Path prefix of all links.
pub const PATH: &str = "/v1/images/files/";
/// Version of the token. Bump on incompatible changes of its form.
const VERSION: u8 = 2;
/// Length of the signature as it is kept, in bytes: RFC 2104 section 5 asks for half of it or more.
const TAG: usize = 16;
/// Length of the digest that distinguishes an origin from the others, in bytes.
const ORIGIN: usize = 8;
/// Place of an origin that stands for the database: no digest, in all likelihood.
const STORED: [u8; ORIGIN] = [0; ORIGIN];
/// Version, expiry, wanted format and its quality, origin.
const HEAD: usize = 1 + 8 + 2 + ORIGIN;
/// The longest token that is looked at, in bytes: that of the longest path of a file, each byte of it percent-encoded,
/// below the longest path of a Space.
const MAX_TOKEN: usize = 8192;

/// Signs links, and knows its own.
#[derive(Clone)]
pub struct Signer {
    mac: Hmac<Sha256>,
}

/// Makes links, as clients get them.
#[derive(Clone)]
pub struct Links {
    /// Signs them; `None` where no answer is going to have any.
    pub signer: Option<Signer>,
    /// URL that they begin with, under which the client reaches the component; without a slash at the end.
    pub base: Rc<str>,
    /// Expiry, in seconds since the Unix epoch.
    pub expires: u64,
}

impl Links {
    /// A link to `file` in the wanted format.
    pub fn to(&self, file: &ImageFile, wanted: Option<TargetFormat>) -> String {
        let token = self.signer.as_ref().map(|signer| signer.sign(file, wanted, self.expires)).unwrap_or_default();
        let format = wanted.map(|wanted| wanted.format).or_else(|| file.format());
        format!("{}{PATH}{token}.{}", self.base, format.map_or("png", Format::name))
    }
}

/// File and format that a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The file.
    pub file: ImageFile,
    /// The format that it is to come in; `None` for its own.
    pub wanted: Option<TargetFormat>,
    /// Expiry, in seconds since the Unix epoch.
    pub expires: u64,
}

/// Reason for which a token leads nowhere.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidLink {
    /// It wasn't signed with this secret, or not as it is now.
    #[error("not a link of this server")]
    Forged,
    /// Its time is over.
    #[error("the link has expired")]
    Expired,
    /// Its Space isn't configured any more.
    #[error("the link's Space is not configured")]
    UnknownSpace,
}

impl Signer {
    /// A signer with that secret.
    pub fn new(secret: &[u8]) -> Option<Self> {
        Some(Self { mac: Hmac::new_from_slice(secret).ok()? })
    }

    /// The token for `file` in the wanted format, good until `expires`, in seconds since the Unix epoch.
    pub fn sign(&self, file: &ImageFile, wanted: Option<TargetFormat>, expires: u64) -> String {
        let (origin, path) = match file {
            ImageFile::Space(file) => (fingerprint(&file.origin), file.path.clone()),
            ImageFile::Stored(stored) => (STORED, stored.to_string()),
        };
        let mut token = Vec::with_capacity(HEAD + path.len() + TAG);
        token.push(VERSION);
        token.extend_from_slice(&expires.to_be_bytes());
        token.extend_from_slice(&wanted_bytes(wanted));
        token.extend_from_slice(&origin);
        token.extend_from_slice(path.as_bytes());
        let tag = self.mac.clone().chain_update(&token).finalize().into_bytes();
        token.extend(tag.iter().take(TAG));
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Link that `token` is, at `now`, among the Spaces at `origins`.
    ///
    /// # Errors
    /// [`InvalidLink`]. Nothing of a token is looked at before its signature holds.
    pub fn verify<'a>(
        &self,
        token: &str,
        now: u64,
        mut origins: impl Iterator<Item = &'a Origin>,
    ) -> Result<Link, InvalidLink> {
        if token.len() > MAX_TOKEN {
            return Err(InvalidLink::Forged);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidLink::Forged)?;
        let signed = bytes.len().checked_sub(TAG).ok_or(InvalidLink::Forged)?;
        let (payload, tag) = bytes.split_at_checked(signed).ok_or(InvalidLink::Forged)?;
        self.mac.clone().chain_update(payload).verify_truncated_left(tag).map_err(|_| InvalidLink::Forged)?;

        let (head, path) = payload.split_first_chunk::<HEAD>().ok_or(InvalidLink::Forged)?;
        let [version, e0, e1, e2, e3, e4, e5, e6, e7, format, quality, origin @ ..] = head;
        if *version != VERSION {
            return Err(InvalidLink::Forged);
        }
        let expires = u64::from_be_bytes([*e0, *e1, *e2, *e3, *e4, *e5, *e6, *e7]);
        if expires <= now {
            return Err(InvalidLink::Expired);
        }
        let path = std::str::from_utf8(path).map_err(|_| InvalidLink::Forged)?.to_owned();
        let file = if *origin == STORED {
            ImageFile::Stored(StoredImage::parse(&path).ok_or(InvalidLink::Forged)?)
        } else {
            let found = origins.find(|known| fingerprint(known) == *origin).ok_or(InvalidLink::UnknownSpace)?;
            ImageFile::Space(RemoteFile { origin: found.clone(), path })
        };
        let wanted = wanted_of([*format, *quality]);
        Ok(Link { file, wanted, expires })
    }
}

/// A wanted format as a token has it.
fn wanted_bytes(wanted: Option<TargetFormat>) -> [u8; 2] {
    match wanted {
        None => [0, 0],
        Some(TargetFormat { format: Format::Jpeg, quality }) => [2, quality],
        Some(TargetFormat { format: Format::Webp, quality }) => [3, quality],
        Some(TargetFormat { quality, .. }) => [1, quality],
    }
}

fn wanted_of(bytes: [u8; 2]) -> Option<TargetFormat> {
    let [format, quality] = bytes;
    let format = match format {
        1 => Format::Png,
        2 => Format::Jpeg,
        3 => Format::Webp,
        _ => return None,
    };
    Some(TargetFormat { format, quality })
}

/// Digest that distinguishes one origin from the others in a token.
fn fingerprint(origin: &Origin) -> [u8; ORIGIN] {
    let digest: [u8; 32] = Sha256::digest(origin.to_string()).into();
    let mut fingerprint = [0; ORIGIN];
    for (kept, byte) in fingerprint.iter_mut().zip(digest) {
        *kept = byte;
    }
    fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::config::{Base, MAX_PATH};
    use crate::gradio::space::Space;
    use serde_json::json;

    fn origin(text: &str) -> Origin {
        Space::parse(text).unwrap().origin().clone()
    }

    fn file() -> ImageFile {
        ImageFile::Space(RemoteFile { origin: origin("a/b"), path: "/gradio_api/file=/tmp/x.webp".to_owned() })
    }

    fn signer() -> Signer {
        Signer::new(b"0123456789abcdef").unwrap()
    }

    #[test]
    fn a_link_leads_to_its_file_until_it_expires() {
        let token = signer().sign(&file(), None, 1000);
        let origins = [origin("c/d"), origin("a/b")];
        assert_eq!(
            signer().verify(&token, 999, origins.iter()),
            Ok(Link { file: file(), wanted: None, expires: 1000 })
        );
        assert_eq!(signer().verify(&token, 1000, origins.iter()), Err(InvalidLink::Expired));
    }

    #[test]
    fn a_link_leads_to_the_longest_path_that_a_file_has() {
        let base = Base::new(origin("a/b"), &format!("/{}", "x".repeat(MAX_PATH - 1)));
        let longest = RemoteFile::of_file_data(&base, &json!({"path": "#".repeat(1024)})).unwrap();
        let longest = ImageFile::Space(longest);
        let token = signer().sign(&longest, None, 1000);
        assert_eq!(signer().verify(&token, 1, [origin("a/b")].iter()).map(|link| link.file), Ok(longest));
    }

    #[test]
    fn a_link_leads_to_an_image_in_the_database() {
        let stored = ImageFile::Stored(StoredImage::parse("kept/0123/17.webp").unwrap());
        let token = signer().sign(&stored, None, 1000);
        assert_eq!(signer().verify(&token, 1, [].iter()).map(|link| link.file), Ok(stored));
    }

    #[test]
    fn a_link_keeps_the_wanted_format() {
        for format in [Format::Png, Format::Jpeg, Format::Webp] {
            let wanted = Some(TargetFormat { format, quality: 77 });
            let token = signer().sign(&file(), wanted, 1000);
            assert_eq!(signer().verify(&token, 1, [origin("a/b")].iter()).unwrap().wanted, wanted);
        }
    }

    #[test]
    fn a_link_with_any_bit_changed_or_cut_leads_nowhere() {
        let token = signer().sign(&file(), None, 1000);
        let origins = [origin("a/b")];
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = URL_SAFE_NO_PAD.encode(forged);
            assert_eq!(signer().verify(&forged, 1, origins.iter()), Err(InvalidLink::Forged), "bit {bit}");
        }
        for length in 0..token.len() {
            let cut = token.get(..length).unwrap();
            assert_eq!(signer().verify(cut, 1, origins.iter()), Err(InvalidLink::Forged), "{length}");
        }
        for text in ["", "=", "http://evil.example/", &format!("{token}A"), &format!("{token}="), &"A".repeat(100_000)]
        {
            assert_eq!(signer().verify(text, 1, origins.iter()), Err(InvalidLink::Forged));
        }
    }

    #[test]
    fn a_link_of_another_secret_or_space_leads_nowhere() {
        let token = signer().sign(&file(), None, 1000);
        let other = Signer::new(b"fedcba9876543210").unwrap();
        assert_eq!(other.verify(&token, 1, [origin("a/b")].iter()), Err(InvalidLink::Forged));
        assert_eq!(signer().verify(&token, 1, [origin("c/d")].iter()), Err(InvalidLink::UnknownSpace));
        assert_eq!(signer().verify(&token, 1, [].iter()), Err(InvalidLink::UnknownSpace));
    }

    #[test]
    fn a_token_tells_no_host() {
        let token = URL_SAFE_NO_PAD.decode(signer().sign(&file(), None, 1000)).unwrap();
        assert!(!String::from_utf8_lossy(&token).contains("hf.space"));
    }
}
