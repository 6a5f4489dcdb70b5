//! An image as an answer has it.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::dispatch::Timing;
use crate::generation::{Format, Size};
use crate::media::file::ImageFile;
use crate::media::remote::RemoteImage;

/// An image as an answer has it.
#[derive(Debug)]
pub struct Item {
    /// Index in the request, from 0.
    pub index: u32,
    /// Seed that it was made from.
    pub seed: u32,
    /// Size, as far as that is known.
    pub size: Option<Size>,
    /// Format, as far as that is known.
    pub format: Option<Format>,
    /// The image, or the way to it.
    pub payload: Payload,
    /// File at the Space or in the database, for later references.
    pub file: Option<ImageFile>,
    /// Name of the Space that made it, if clients may know it.
    pub space: Option<Rc<str>>,
    /// Times that it took.
    pub timing: Timing,
}

/// An image, or the way to it.
#[derive(Debug)]
pub enum Payload {
    /// Its bytes.
    Bytes(Bytes),
    /// Its bytes, which are still at the Space for want of memory.
    Remote(RemoteImage),
    /// A link to it.
    Url(String),
    /// Its bytes, where a link was asked for, and there is neither a file at the Space nor a database to keep it in.
    DataUrl(Format, Bytes),
}

/// File of an image that was made.
#[derive(Clone, Debug)]
pub struct MadeFile {
    /// Index of the image in the request, from 0.
    pub index: u32,
    /// The file.
    pub file: ImageFile,
}

/// Course of an image: the times that it took, and the Space.
#[derive(Clone, Debug)]
pub struct Course {
    /// Times that it took.
    pub timing: Timing,
    /// Name of the Space that made it, if clients may know it.
    pub space: Option<Rc<str>>,
}

impl Item {
    /// Its course.
    pub fn course(&self) -> Course {
        Course { timing: self.timing, space: self.space.clone() }
    }

    /// Its file, where there is one.
    pub fn made_file(&self) -> Option<MadeFile> {
        Some(MadeFile { index: self.index, file: self.file.clone()? })
    }
}

impl Payload {
    /// URL of the image: a link, or where there is none, a data URL.
    pub fn into_url(self, format: Option<Format>) -> String {
        let (format, bytes) = match self {
            Self::Url(url) => return url,
            Self::DataUrl(format, bytes) => (format, bytes),
            Self::Bytes(bytes) => (format.unwrap_or(Format::Png), bytes),
            // Who asks for URLs is given links to what is at a Space.
            Self::Remote(image) => (image.format, Bytes::new()),
        };
        format!("data:image/{};base64,{}", format.name(), STANDARD.encode(bytes))
    }
}

impl Course {
    /// Value of the header `Server-Timing` (W3C Server Timing), in milliseconds.
    pub fn server_timing(&self) -> String {
        let Timing { wait, queue, generate, fetch } = self.timing;
        // A name that a quoted text can't hold is left out.
        let space = self
            .space
            .as_deref()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte)));
        let space = space.map(|name| format!(";desc=\"{name}\"")).unwrap_or_default();
        let milliseconds = |time: Duration| time.as_micros() / 1000;
        format!(
            "wait;dur={}, queue;dur={}, generate;dur={}{space}, fetch;dur={}",
            milliseconds(wait),
            milliseconds(queue),
            milliseconds(generate),
            milliseconds(fetch)
        )
    }
}
