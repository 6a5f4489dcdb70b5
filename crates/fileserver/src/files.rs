//! The studio's files, as the build embeds them.

/// A file of the studio.
#[derive(Debug)]
pub struct File {
    /// Its path in URLs, decoded.
    pub path: &'static str,
    /// The file as it is, then in every coding that makes it smaller. Never empty.
    pub variants: &'static [Variant],
}

/// A file in one coding.
#[derive(Debug)]
pub struct Variant {
    /// The coding; `None` for the file as it is.
    pub coding: Option<Coding>,
    /// A strong entity tag (RFC 9110 section 8.8.3), quotation marks included.
    pub tag: &'static str,
    /// The bytes.
    pub bytes: &'static [u8],
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// Its name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// The studio.
pub const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));
