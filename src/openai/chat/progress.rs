//! Form in which a chat shows the progress of its images.

/// Form in which a chat shows the progress of its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatProgress {
    /// `reasoning_content`, the model's thoughts, which most clients fold away.
    Reasoning,
    /// Text of the answer.
    Text,
    /// None.
    None,
}

impl ChatProgress {
    /// Parses `reasoning`, `text` or `none`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "reasoning" => Some(Self::Reasoning),
            "text" => Some(Self::Text),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}
