//! Form in which a chat shows the progress of its images.

/// Form in which a chat shows the progress of its images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChatProgress {
    /// As the model's thoughts, `reasoning_content`, which most clients fold away.
    #[default]
    Reasoning,
    /// As text of the answer.
    Text,
    /// Not at all.
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
