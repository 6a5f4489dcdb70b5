//! Purpose of a Space's function.

/// Purpose of a Space's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Images from text.
    Generate,
    /// Images from images.
    Edit,
}
