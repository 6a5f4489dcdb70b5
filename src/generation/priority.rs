//! Priority among jobs that wait for a Space.

use serde::Serialize;
use strum::{EnumString, IntoStaticStr};

/// Priority among jobs that wait for a Space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
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
        name.parse().ok()
    }

    /// Name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
