//! Form in which a chat shows the progress of its images.

/// Form in which a chat shows the progress of its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatProgress {
    /// As the model's thoughts, `reasoning_content`, which most clients fold away.
    Reasoning,
    /// As text of the answer.
    Text,
    /// Not at all.
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
