//! The studio's files, as the build embeds them.
//!
//! A file is kept once: compressed where that makes it smaller. For each of the few clients that don't understand gzip
//! it is inflated, which costs a millisecond and halves the component.

use std::borrow::Cow;

use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// A file of the studio.
#[derive(Debug)]
pub struct File {
    /// Its path in URLs, decoded.
    pub path: &'static str,
    /// Variants: the file as it is, and compressed where that makes it smaller.
    pub variants: &'static [Variant],
}

/// A file in one coding.
#[derive(Debug)]
pub struct Variant {
    /// The coding; `None` for the file as it is.
    pub coding: Option<Coding>,
    /// A strong entity tag (RFC 9110 section 8.8.3), quotation marks included.
    pub tag: &'static str,
    /// Its bytes.
    pub content: Content,
}

/// Bytes of a variant.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// They are kept.
    Kept(&'static [u8]),
    /// They are inflated.
    Inflated {
        /// The file in gzip, with a header of ten bytes.
        gzip: &'static [u8],
        /// Length of the file as it is, in bytes.
        length: usize,
    },
}

/// Length of gzip's header without a name.
const HEADER: usize = 10;

impl Content {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Kept(bytes) => bytes.len(),
            Self::Inflated { length, .. } => *length,
        }
    }

    /// True for an empty file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes. Empty where what is kept isn't gzip.
    pub fn bytes(&self) -> Cow<'static, [u8]> {
        match self {
            Self::Kept(bytes) => Cow::Borrowed(bytes),
            Self::Inflated { gzip, length } => {
                let deflated = gzip.get(HEADER..).unwrap_or_default();
                Cow::Owned(decompress_to_vec_with_limit(deflated, *length).unwrap_or_default())
            }
        }
    }
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// Its name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
        }
    }
}

/// The studio.
pub static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));
