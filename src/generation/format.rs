//! Image formats, recognised by their first bytes.

use http::HeaderValue;
use strum::IntoStaticStr;

/// Image formats that are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Format {
    /// ISO/IEC 15948.
    Png,
    /// ISO/IEC 10918.
    Jpeg,
    /// RFC 9649.
    Webp,
    /// GIF87a and GIF89a.
    Gif,
    /// AV1 Image File Format.
    Avif,
}

/// Number of bytes that identify a format: AVIF's brand ends at the twelfth.
pub const MAGIC: usize = 12;

/// Format that a client has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetFormat {
    /// One of PNG, JPEG and WebP.
    pub format: Format,
    /// Quality of a JPEG, from 0 to 100. PNG and WebP are written without loss.
    pub quality: u8,
}

impl Format {
    /// Parses OpenAI's `output_format`.
    pub fn of_output_format(name: &str) -> Option<Self> {
        match name {
            "png" => Some(Self::Png),
            "jpeg" | "jpg" => Some(Self::Jpeg),
            "webp" => Some(Self::Webp),
            _ => None,
        }
    }

    /// Format by the first bytes of a file; 12 are enough.
    pub fn of_magic(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => Some(Self::Avif),
            _ => None,
        }
    }

    /// Format that a file's name promises.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::Webp),
            "gif" => Some(Self::Gif),
            "avif" => Some(Self::Avif),
            _ => None,
        }
    }

    /// OpenAI's name, which is also the usual file extension.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Media type.
    pub fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
            Self::Avif => "image/avif",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        for (magic, format) in [
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), Format::Png),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Format::Jpeg),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Format::Webp),
            (b"GIF89a\x01\0\x01\0\0\0", Format::Gif),
            (b"\0\0\0\x20ftypavif\0\0", Format::Avif),
        ] {
            assert_eq!(Format::of_magic(magic), Some(format));
            assert_eq!(Format::of_magic(&magic[..2]), None);
        }
        for lie in [b"<!DOCTYPE html>".as_slice(), b"<svg xmlns=", b"RIFF\x10\0\0\0WAVEfmt ", b"%PDF-1.7", b"", b"PNG"]
        {
            assert_eq!(Format::of_magic(lie), None);
        }
    }
}
