//! Kind of a request for images.

use serde::{Deserialize, Serialize};

/// Kind of a request for images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// Images from text.
    Generation,
    /// Images from images.
    Edit,
    /// Images from an image, without words.
    Variation,
}
