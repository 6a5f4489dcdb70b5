//! Roles of a Space's parameters, and kinds of their values.

use serde::{Deserialize, Serialize};

/// Role of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Description of the image.
    Prompt,
    /// Description of what it must not show.
    NegativePrompt,
    /// Its width in pixels.
    Width,
    /// Its height in pixels.
    Height,
    /// Its size, resolution or aspect ratio, as one choice.
    Size,
    /// The randomness it starts from.
    Seed,
    /// Flag that has the Space choose the seed.
    RandomizeSeed,
    /// Number of denoising steps.
    Steps,
    /// Guidance scale: weight of the prompt.
    Guidance,
    /// The sampler or scheduler.
    Sampler,
    /// The checkpoint that makes the image, of several.
    Model,
    /// A LoRA, of several.
    Lora,
    /// A style, of several.
    Style,
    /// Number of images.
    Count,
    /// An image to start from.
    Image,
    /// Part of that image that is to change.
    Mask,
    /// Strength of the change of that image.
    Strength,
    /// The file format.
    Format,
}

impl Role {
    /// True for what is counted: pixels, steps, images, seeds.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Width | Self::Height | Self::Seed | Self::Steps | Self::Count)
    }

    /// True for what a model of this server's may stand for.
    pub fn is_model(self) -> bool {
        matches!(self, Self::Model | Self::Lora | Self::Style)
    }
}

/// Kind of value that a component holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text, of one line or several.
    Text,
    /// A number: a slider, or a field.
    Number,
    /// Yes or no.
    Flag,
    /// One of several.
    Choice,
    /// Several of several.
    Choices,
    /// An image.
    Image,
    /// An image with layers that are painted over it: a mask.
    Editor,
    /// Several images.
    Gallery,
    /// Nothing that a client sees: what Gradio keeps for a session.
    State,
    /// Anything else.
    Other,
}

impl Kind {
    /// True for what holds one image.
    pub fn is_one_image(self) -> bool {
        matches!(self, Self::Image | Self::Editor)
    }

    /// The kind of Gradio's component of that type, as `/config` names it.
    pub fn of_component(component: &str, multiselect: bool) -> Self {
        match component {
            "textbox" | "text" | "textarea" => Self::Text,
            "slider" | "number" => Self::Number,
            "checkbox" => Self::Flag,
            "dropdown" if multiselect => Self::Choices,
            "dropdown" | "radio" => Self::Choice,
            "checkboxgroup" => Self::Choices,
            "image" => Self::Image,
            "imageeditor" | "imagemask" | "sketchpad" | "paint" => Self::Editor,
            "gallery" => Self::Gallery,
            "state" => Self::State,
            _ => Self::Other,
        }
    }
}
