//! Quality of an image.

/// Quality; the catalogue and the Space decide what a level means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Quick.
    Low,
    /// The Space's own.
    Medium,
    /// Careful.
    High,
    /// The most careful.
    Max,
}

impl Quality {
    /// Parses OpenAI's names, those of DALL·E among them. `auto` is none.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "low" => Some(Self::Low),
            "medium" | "standard" => Some(Self::Medium),
            "high" | "hd" => Some(Self::High),
            "xhigh" | "max" => Some(Self::Max),
            _ => None,
        }
    }

    /// Name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Max => "max",
        }
    }
}
