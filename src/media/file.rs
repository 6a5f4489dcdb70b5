//! Places where images lie.

use std::fmt;

use crate::generation::Format;
use crate::gradio::file::RemoteFile;

/// Place where an image lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageFile {
    /// The Space that made it.
    Space(RemoteFile),
    /// The database, as the Space has sent the image inline.
    Stored(StoredImage),
}

/// An image in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// Owner of its parts.
    pub owner: ImageOwner,
    /// Format.
    pub format: Format,
    /// Length, in bytes.
    pub length: usize,
}

/// Owner of a stored image's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageOwner {
    /// None: they go where newer images need the room.
    Kept(String),
    /// The task of that id, for as long as it is there. The image is its file of that name.
    Task(String, String),
}

impl ImageFile {
    /// The file at a Space.
    pub fn remote(&self) -> Option<&RemoteFile> {
        match self {
            Self::Space(file) => Some(file),
            Self::Stored(_) => None,
        }
    }

    /// Format, as far as its name or the database says it.
    pub fn format(&self) -> Option<Format> {
        match self {
            Self::Space(file) => Format::of_name(&file.path),
            Self::Stored(stored) => Some(stored.format),
        }
    }
}

impl StoredImage {
    /// Parses the form that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let owner = match (parts.next()?, parts.next()?.to_owned()) {
            ("kept", id) => ImageOwner::Kept(id),
            ("task", id) => ImageOwner::Task(id, parts.next()?.to_owned()),
            _ => return None,
        };
        let name = parts.next()?;
        let (length, _) = name.split_once('.')?;
        let (format, length) = (Format::of_name(name)?, length.parse().ok()?);
        parts.next().is_none().then_some(Self { owner, format, length })
    }
}

impl fmt::Display for StoredImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            ImageOwner::Kept(id) => write!(f, "kept/{id}")?,
            ImageOwner::Task(id, name) => write!(f, "task/{id}/{name}")?,
        }
        write!(f, "/{}.{}", self.length, self.format.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_image_is_written_and_read() {
        for text in ["kept/0123/17.png", "task/0123/out0/17.avif"] {
            assert_eq!(StoredImage::parse(text).map(|stored| stored.to_string()).as_deref(), Some(text));
        }
        for text in
            ["", "kept", "kept/1/x.png", "kept/1/7", "kept/1/7.exe", "kept/1/7.png/", "else/1/7.png", "task/1/7.png"]
        {
            assert_eq!(StoredImage::parse(text), None, "{text}");
        }
    }
}
