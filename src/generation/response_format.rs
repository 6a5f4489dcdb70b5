//! Forms in which images are delivered.

/// Form in which images are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFormat {
    /// In the answer, as base64.
    Base64,
    /// As links.
    Url,
}

impl ResponseFormat {
    /// Parses OpenAI's `response_format`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "b64_json" => Some(Self::Base64),
            "url" => Some(Self::Url),
            _ => None,
        }
    }

    /// Form for who asks for a model by that name, and doesn't say which: OpenAI's own DALL·E answers with links, all
    /// later models with the images.
    pub fn of_model(name: &str) -> Self {
        if name.to_ascii_lowercase().starts_with("dall-e") { Self::Url } else { Self::Base64 }
    }
}
