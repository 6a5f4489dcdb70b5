//! Form in which a chat shows the progress of its images.

/// Form in which a chat shows the progress of its images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChatProgress {
    /// `reasoning_content`, the model's thoughts, which most clients fold away.
    #[default]
    Reasoning,
    /// Text of the answer.
    Text,
    /// None.
    None,
}

impl ChatProgress {
    /// All forms, by their names.
    pub const NAMES: [(&'static str, Self); 3] =
        [("reasoning", Self::Reasoning), ("text", Self::Text), ("none", Self::None)];

    /// Parses `reasoning`, `text` or `none`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, progress)| progress)
    }
}
