//! Roles of a Space's parameters.
//!
//! Gradio gives a parameter's name (that of the function's argument), its label (for people, in any language) and its
//! component. None of them is reserved for anything: `steps`, `num_inference_steps`, "Sampling Steps" and "步数" are one
//! thing. A role is found by comparing names and labels with words that public Spaces use, in English and Chinese,
//! among components that can hold such a value: "Random Seed" is a number in one Space and a checkbox in another.

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
    /// Several images.
    Gallery,
    /// Nothing that a client sees: what Gradio keeps for a session.
    State,
    /// Anything else.
    Other,
}

impl Kind {
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
            "gallery" => Self::Gallery,
            "state" => Self::State,
            _ => Self::Other,
        }
    }
}

/// Words for a role.
struct Words {
    role: Role,
    kinds: &'static [Kind],
    /// Names or labels that say it all.
    exact: &'static [&'static str],
    /// Words that say it as part of a longer name or label.
    within: &'static [&'static str],
    /// Words beside which they don't.
    without: &'static [&'static str],
}

const NUMBER: &[Kind] = &[Kind::Number];
const CHOICE: &[Kind] = &[Kind::Choice, Kind::Text];

const WORDS: &[Words] = &[
    Words {
        role: Role::NegativePrompt,
        kinds: &[Kind::Text],
        exact: &[
            "negative prompt",
            "negative",
            "neg prompt",
            "n prompt",
            "反向提示词",
            "负面提示词",
            "负向提示词",
            "负提示词",
            "反向提示",
        ],
        within: &["negative", "反向", "负面", "负向"],
        without: &[],
    },
    Words {
        role: Role::Prompt,
        kinds: &[Kind::Text],
        exact: &[
            "prompt",
            "text",
            "positive prompt",
            "text prompt",
            "your prompt",
            "description",
            "caption",
            "instruction",
            "提示词",
            "正向提示词",
            "提示",
            "描述",
            "文本",
        ],
        within: &["prompt", "提示词", "describe", "description", "instruction", "描述"],
        without: &["negative", "system", "反向", "负面", "负向", "style"],
    },
    Words {
        role: Role::Width,
        kinds: NUMBER,
        exact: &["width", "w", "image width", "宽", "宽度", "图像宽度", "图片宽度"],
        within: &["width", "宽度"],
        without: &[],
    },
    Words {
        role: Role::Height,
        kinds: NUMBER,
        exact: &["height", "h", "image height", "高", "高度", "图像高度", "图片高度"],
        within: &["height", "高度"],
        without: &[],
    },
    Words {
        role: Role::Size,
        kinds: CHOICE,
        exact: &[
            "size",
            "resolution",
            "aspect ratio",
            "image size",
            "ratio",
            "aspect",
            "dimensions",
            "尺寸",
            "分辨率",
            "宽高比",
            "比例",
            "图片尺寸",
            "图像尺寸",
            "长宽比",
        ],
        within: &["aspect ratio", "resolution", "size", "dimension", "ratio", "尺寸", "分辨率", "宽高比", "比例"],
        without: &["batch", "category", "类别", "font"],
    },
    Words {
        role: Role::RandomizeSeed,
        kinds: &[Kind::Flag],
        exact: &[
            "randomize seed",
            "random seed",
            "randomize",
            "use random seed",
            "随机种子",
            "随机化种子",
            "使用随机种子",
            "随机",
        ],
        within: &["random", "随机"],
        without: &[],
    },
    Words {
        role: Role::Seed,
        kinds: &[Kind::Number, Kind::Text],
        exact: &["seed", "random seed", "种子", "随机种子", "随机数种子"],
        within: &["seed", "种子"],
        without: &["resize", "subseed", "variation"],
    },
    Words {
        role: Role::Steps,
        kinds: &[Kind::Number, Kind::Choice],
        exact: &[
            "num inference steps",
            "steps",
            "inference steps",
            "sampling steps",
            "num steps",
            "number of inference steps",
            "number of steps",
            "步数",
            "推理步数",
            "采样步数",
            "迭代步数",
            "生成步数",
            "ckpt",
        ],
        within: &["inference steps", "steps", "步数"],
        without: &["guidance", "refiner"],
    },
    Words {
        role: Role::Guidance,
        kinds: NUMBER,
        exact: &[
            "guidance scale",
            "guidance",
            "cfg",
            "cfg scale",
            "true guidance scale",
            "true cfg scale",
            "引导系数",
            "引导强度",
            "提示词引导系数",
            "cfg 引导系数",
            "提示词相关性",
        ],
        within: &["guidance", "cfg", "引导", "相关性"],
        without: &["image guidance", "steps", "start", "end", "refiner", "rescale"],
    },
    Words {
        role: Role::Sampler,
        kinds: &[Kind::Choice],
        exact: &["sampler", "scheduler", "sampling method", "sampler name", "采样器", "采样方法", "调度器"],
        within: &["sampler", "scheduler", "采样", "调度"],
        without: &[],
    },
    Words {
        role: Role::Count,
        kinds: &[Kind::Number, Kind::Choice],
        exact: &[
            "num images",
            "num images per prompt",
            "number of images",
            "images per prompt",
            "n images",
            "num outputs",
            "batch size",
            "samples",
            "num samples",
            "image count",
            "图片数量",
            "图像数量",
            "生成数量",
            "数量",
            "张数",
            "生成张数",
        ],
        within: &["number of images", "num images", "图片数量", "图像数量", "生成数量", "张数"],
        without: &[],
    },
    Words {
        role: Role::Mask,
        kinds: &[Kind::Image],
        exact: &["mask", "mask image", "inpaint mask", "蒙版", "遮罩"],
        within: &["mask", "蒙版", "遮罩"],
        without: &[],
    },
    Words {
        role: Role::Image,
        kinds: &[Kind::Image, Kind::Gallery],
        exact: &[
            "image",
            "input image",
            "init image",
            "source image",
            "images",
            "input images",
            "reference image",
            "图片",
            "输入图片",
            "原图",
            "参考图",
        ],
        within: &["image", "图", "photo", "reference"],
        without: &["mask", "蒙版", "遮罩", "output", "result"],
    },
    Words {
        role: Role::Strength,
        kinds: NUMBER,
        exact: &["strength", "denoising strength", "denoise", "image strength", "重绘幅度", "强度", "去噪强度"],
        within: &["strength", "denois", "重绘", "去噪"],
        without: &["lora", "control", "style"],
    },
    Words {
        role: Role::Format,
        kinds: &[Kind::Choice],
        exact: &["format", "output format", "file format", "image format", "格式", "输出格式", "图片格式"],
        within: &["format", "格式"],
        without: &[],
    },
];

/// Least score of a guess.
const SURE: u32 = 1;

/// The role that the words of `name` and `label` name most surely, for a component of that kind, and how sure that is.
fn guesses(name: Option<&str>, label: &str, kind: Kind) -> impl Iterator<Item = (Role, u32)> {
    let name = name.map(normal).unwrap_or_default();
    let label = normal(label);
    WORDS.iter().filter(move |words| words.kinds.contains(&kind)).map(move |words| {
        let excluded = |text: &str| words.without.iter().any(|word| text.contains(word));
        let exact = |text: &str| words.exact.contains(&text);
        let within = |text: &str| !excluded(text) && words.within.iter().any(|word| text.contains(word));
        let score = [(exact(&name), 40), (exact(&label), 30), (within(&name), 20), (within(&label), 10)];
        // Both saying it is surer than one.
        (words.role, score.iter().filter(|(says, _)| *says).map(|(_, points)| points).sum())
    })
}

/// Roles for a function's inputs, given as name, label and kind. Each role is given once, to the input that fits it
/// best, but for images, of which there may be several.
pub fn assign(inputs: &[(Option<&str>, &str, Kind)]) -> Vec<Option<Role>> {
    let mut all: Vec<(u32, std::cmp::Reverse<usize>, Role)> = Vec::new();
    for (index, (name, label, kind)) in inputs.iter().enumerate() {
        all.extend(
            guesses(*name, label, *kind)
                .filter(|(_, score)| *score >= SURE)
                .map(|(role, score)| (score, std::cmp::Reverse(index), role)),
        );
    }
    // The surest first; of two that are equally sure, the one that comes first in the function.
    all.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(other.1.cmp(&one.1)).then(one.2.cmp(&other.2)));
    let mut roles = vec![None; inputs.len()];
    for (_, std::cmp::Reverse(index), role) in all {
        let taken = role != Role::Image && roles.contains(&Some(role));
        if let Some(slot) = roles.get_mut(index)
            && slot.is_none()
            && !taken
        {
            *slot = Some(role);
        }
    }
    // An app with one text to write takes the prompt there, whatever it calls it.
    let texts: Vec<usize> =
        (0..inputs.len()).filter(|i| inputs.get(*i).is_some_and(|(_, _, kind)| *kind == Kind::Text)).collect();
    if let [only] = texts.as_slice()
        && let Some(slot @ None) = roles.get_mut(*only)
    {
        *slot = Some(Role::Prompt);
    }
    roles
}

/// A name or label to compare: lower case, words of letters and digits with one space between.
fn normal(text: &str) -> String {
    let words: String = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Choice, Flag, Gallery, Image, Number, Text};

    fn roles(inputs: &[(&str, &str, Kind)]) -> Vec<Option<Role>> {
        let named: Vec<_> = inputs
            .iter()
            .map(|(name, label, kind)| (Some(*name).filter(|name| !name.is_empty()), *label, *kind))
            .collect();
        assign(&named)
    }

    #[test]
    fn z_image_turbo_by_name_and_label() {
        assert_eq!(
            roles(&[
                ("prompt", "✨ Your Prompt", Text),
                ("height", "Height", Number),
                ("width", "Width", Number),
                ("num_inference_steps", "Inference Steps", Number),
                ("seed", "Seed", Number),
                ("randomize_seed", "🎲 Random Seed", Flag),
            ]),
            [Role::Prompt, Role::Height, Role::Width, Role::Steps, Role::Seed, Role::RandomizeSeed].map(Some)
        );
    }

    #[test]
    fn chinese_labels_without_names() {
        assert_eq!(
            roles(&[
                ("", "反向提示词", Text),
                ("", "提示词", Text),
                ("", "宽度", Number),
                ("", "高度", Number),
                ("", "采样步数", Number),
                ("", "随机种子", Number),
                ("", "随机种子", Flag),
                ("", "引导系数", Number),
                ("", "采样器", Choice),
                ("", "图片数量", Number),
            ]),
            [
                Role::NegativePrompt,
                Role::Prompt,
                Role::Width,
                Role::Height,
                Role::Steps,
                Role::Seed,
                Role::RandomizeSeed,
                Role::Guidance,
                Role::Sampler,
                Role::Count,
            ]
            .map(Some)
        );
    }

    #[test]
    fn names_that_lie_close_are_kept_apart() {
        assert_eq!(
            roles(&[
                ("system_prompt", "System prompt", Text),
                ("prompt", "Prompt", Text),
                ("lora_scale", "LoRA strength", Number),
                ("shift", "Time Shift", Number),
                ("resolution", "Width x Height (Ratio)", Choice),
                ("res_cate", "Resolution Category", Choice),
                ("gallery_images", "Generated Images", Gallery),
            ]),
            [None, Some(Role::Prompt), None, None, Some(Role::Size), None, Some(Role::Image)]
        );
        assert_eq!(roles(&[("image", "Image", Image), ("mask", "Mask", Image)]), [Role::Image, Role::Mask].map(Some));
    }

    #[test]
    fn the_only_text_is_the_prompt() {
        assert_eq!(
            roles(&[("x", "What do you want?", Text), ("ckpt", "Select inference steps", Choice)]),
            [Role::Prompt, Role::Steps].map(Some)
        );
        assert_eq!(roles(&[("x", "One", Text), ("y", "Two", Text)]), [None, None]);
    }
}
