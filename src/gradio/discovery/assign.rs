//! Assignment of roles to a Space's parameters.
//!
//! Gradio gives a parameter's name (that of the function's argument), its label (for people, in any language) and its
//! component. None of them is reserved for anything: `steps`, `num_inference_steps`, "Sampling Steps" and "步数" are one
//! thing. A role is found by comparing names and labels with words that public Spaces use, in English and Chinese,
//! among components that can hold such a value: "Random Seed" is a number in one Space and a checkbox in another.

use super::role::{Kind, Role};
use super::words::WORDS;

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
pub(super) fn assign(inputs: &[(Option<&str>, &str, Kind)]) -> Vec<Option<Role>> {
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
    // And one with one image to give takes it there.
    let images: Vec<usize> =
        (0..inputs.len()).filter(|i| inputs.get(*i).is_some_and(|(_, _, kind)| kind.is_one_image())).collect();
    if let [only] = images.as_slice()
        && let Some(slot @ None) = roles.get_mut(*only)
    {
        *slot = Some(Role::Image);
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
        let editor = roles(&[("im", "Sketch over it, with a mask", Kind::Editor), ("prompt", "", Text)]);
        assert_eq!(editor, [Role::Image, Role::Prompt].map(Some));
    }
}
