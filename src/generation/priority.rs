//! Priority among jobs that wait for a Space.

use serde::Serialize;

/// Priority among jobs that wait for a Space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Behind the others.
    Low,
    /// In order of arrival.
    #[default]
    Normal,
    /// Before the others.
    High,
}

impl Priority {
    /// Parses a name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "low" => Some(Self::Low),
            "normal" => Some(Self::Normal),
            "high" => Some(Self::High),
            _ => None,
        }
    }

    /// Name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}
