//! Settings of the operator for images and the links to them.

use std::fmt;
use std::time::Duration;

use crate::gradio::image_hosts::ImageHosts;

/// Settings of the operator for images and the links to them.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Secret that links are signed with; `None` for the database's own.
    pub link_secret: Option<LinkSecret>,
    /// Time that a link works.
    pub link_ttl: Duration,
    /// Hosts other than Spaces that images may be fetched from.
    pub image_hosts: ImageHosts,
    /// Size of the largest image that is passed on, in bytes.
    pub max_image_bytes: usize,
}

/// Secret that image links are signed with. It can't be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkSecret(Vec<u8>);

impl LinkSecret {
    /// The secret of that text, unless it has fewer than 16 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() >= 16).then(|| Self(text.as_bytes().to_vec()))
    }

    /// Its bytes: 16 or more.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret")
    }
}
