//! Quality of an image.

use strum::{EnumString, IntoStaticStr};

/// Quality; the catalogue and the Space decide what a level means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
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
        let name = match name {
            "standard" => "medium",
            "hd" => "high",
            "xhigh" => "max",
            name => name,
        };
        name.parse().ok()
    }

    /// Name in requests.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
