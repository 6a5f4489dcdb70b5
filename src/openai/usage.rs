//! Usage of a request.
//!
//! Spaces report no tokens, and none are made up. An image is one token. A text is one token for every four characters
//! begun, which is OpenAI's own rule of thumb for English, and is known for every text alike. Summed up, usage
//! says how many images were made, and about how much text was sent.

use serde::Serialize;

/// OpenAI's usage object of the images API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    input_tokens: usize,
    input_tokens_details: TokenDetails,
    output_tokens: usize,
    output_tokens_details: TokenDetails,
    total_tokens: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct TokenDetails {
    image_tokens: usize,
    text_tokens: usize,
}

/// OpenAI's usage object of the images API's events.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EventUsage {
    input_tokens: usize,
    input_tokens_details: TokenDetails,
    output_tokens: usize,
    total_tokens: usize,
}

/// OpenAI's usage object of chats.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ChatUsage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

/// OpenAI's usage object of responses.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ResponseUsage {
    input_tokens: usize,
    input_tokens_details: CachedDetails,
    output_tokens: usize,
    output_tokens_details: ReasoningDetails,
    total_tokens: usize,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct CachedDetails {
    cached_tokens: usize,
    cache_write_tokens: usize,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct ReasoningDetails {
    reasoning_tokens: usize,
}

/// Number of tokens that a text counts.
pub fn text_tokens(text: &str) -> usize {
    text.chars().count().div_ceil(4)
}

impl Usage {
    /// Usage of a request with that prompt and `images_sent` images, answered with `images_made` images and a text.
    pub fn new(prompt: &str, images_sent: usize, images_made: usize, text_made: &str) -> Self {
        let input = TokenDetails { image_tokens: images_sent, text_tokens: text_tokens(prompt) };
        let output = TokenDetails { image_tokens: images_made, text_tokens: text_tokens(text_made) };
        let sum = |details: TokenDetails| details.image_tokens + details.text_tokens;
        Self {
            input_tokens: sum(input),
            input_tokens_details: input,
            output_tokens: sum(output),
            output_tokens_details: output,
            total_tokens: sum(input) + sum(output),
        }
    }

    /// The usage with another number of images made.
    pub fn with_images_made(self, images: usize) -> Self {
        let output = TokenDetails { image_tokens: images, text_tokens: self.output_tokens_details.text_tokens };
        let made = output.image_tokens + output.text_tokens;
        Self { output_tokens: made, output_tokens_details: output, total_tokens: self.input_tokens + made, ..self }
    }

    /// The usage in the form of an event.
    pub fn of_event(self) -> EventUsage {
        EventUsage {
            input_tokens: self.input_tokens,
            input_tokens_details: self.input_tokens_details,
            output_tokens: self.output_tokens,
            total_tokens: self.total_tokens,
        }
    }

    /// The usage in the form of a chat.
    pub fn of_chat(self) -> ChatUsage {
        ChatUsage {
            prompt_tokens: self.input_tokens,
            completion_tokens: self.output_tokens,
            total_tokens: self.total_tokens,
        }
    }

    /// The usage in the form of a response.
    pub fn of_response(self) -> ResponseUsage {
        ResponseUsage {
            input_tokens: self.input_tokens,
            input_tokens_details: CachedDetails::default(),
            output_tokens: self.output_tokens,
            output_tokens_details: ReasoningDetails::default(),
            total_tokens: self.total_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_characters_are_counted() {
        let usage = Usage::new("a red fox", 2, 3, "");
        assert_eq!(
            serde_json::to_value(usage).unwrap(),
            serde_json::json!({
                "input_tokens": 5, "input_tokens_details": {"image_tokens": 2, "text_tokens": 3},
                "output_tokens": 3, "output_tokens_details": {"image_tokens": 3, "text_tokens": 0},
                "total_tokens": 8,
            })
        );
        assert_eq!(Usage::new("a red fox", 2, 0, "").with_images_made(3), usage);
        assert_eq!((text_tokens(""), text_tokens("一只红色的狐狸")), (0, 2));
    }
}
