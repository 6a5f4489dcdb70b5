//! Settings of the operator for what one API key may use.

/// Limits of one API key, over all instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests for images in a minute; 0 for any number.
    pub requests_per_minute: u32,
    /// Images in the making at once; 0 for any number.
    pub jobs: u32,
}
