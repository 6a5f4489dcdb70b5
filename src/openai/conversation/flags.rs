//! Short flags in a prompt, as people know them from other image bots: `a red fox --ar 16:9 --seed 7 --no blur`.
//!
//! A flag counts behind a space, or at the beginning. One that isn't known stays in the prompt, as it may be meant so.

use serde_json::{Map, Value};

/// A prompt without its flags, and their values.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Flagged {
    /// The prompt that is left.
    pub(super) prompt: String,
    /// Fields of the request that they stand for.
    pub(super) fields: Map<String, Value>,
    /// Number of the earlier image that is to be edited, where one is: 1 is the last.
    pub(super) edit: Option<usize>,
}

/// Value of a flag.
#[derive(Clone, Copy)]
enum Takes {
    /// One word, for the field of that name.
    Word(&'static str),
    /// All words up to the next flag.
    Words(&'static str),
    /// A number, or nothing.
    Edit,
}

/// The flag of that name.
fn flag(name: &str) -> Option<Takes> {
    Some(match name {
        "ar" | "aspect" => Takes::Word("aspect_ratio"),
        "size" => Takes::Word("size"),
        "w" | "width" => Takes::Word("width"),
        "h" | "height" => Takes::Word("height"),
        "seed" => Takes::Word("seed"),
        "steps" => Takes::Word("steps"),
        "cfg" | "guidance" => Takes::Word("guidance_scale"),
        "sampler" => Takes::Word("sampler"),
        "quality" | "q" => Takes::Word("quality"),
        "format" => Takes::Word("output_format"),
        "strength" => Takes::Word("strength"),
        "n" => Takes::Word("n"),
        "no" | "negative" => Takes::Words("negative_prompt"),
        "edit" => Takes::Edit,
        _ => return None,
    })
}

/// Parses the flags of `prompt`.
pub(super) fn read(prompt: &str) -> Flagged {
    let mut flagged = Flagged::default();
    if !prompt.contains("--") && !prompt.contains('—') {
        prompt.trim().clone_into(&mut flagged.prompt);
        return flagged;
    }
    // Line ends are kept where there are no flags, as they are part of the prompt.
    let prompt = prompt.replace("\n--", "\n --").replace("\n—", "\n —");
    let mut words = prompt.split([' ', '\t', '\u{3000}']).peekable();
    let mut kept: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        let Some(takes) = name_of(word).and_then(flag) else {
            kept.push(word);
            continue;
        };
        // More than one space may stand between.
        while words.next_if(|word| word.is_empty()).is_some() {}
        match takes {
            Takes::Word(field) => {
                let value = words.next().unwrap_or_default();
                flagged.fields.insert(field.to_owned(), Value::from(value.trim()));
            }
            Takes::Words(field) => {
                let mut value = Vec::new();
                while let Some(word) = words.next_if(|word| name_of(word).and_then(flag).is_none()) {
                    value.push(word);
                }
                flagged.fields.insert(field.to_owned(), Value::from(value.join(" ").trim()));
            }
            Takes::Edit => {
                let number = words.next_if(|word| word.trim().parse::<usize>().is_ok_and(|number| number > 0));
                flagged.edit = Some(number.and_then(|number| number.trim().parse().ok()).unwrap_or(1));
            }
        }
    }
    kept.join(" ").trim().clone_into(&mut flagged.prompt);
    flagged
}

/// The name behind two hyphens, or behind the dash that phones make of them.
fn name_of(word: &str) -> Option<&str> {
    let word = word.trim_end();
    word.strip_prefix("--").or_else(|| word.strip_prefix('—'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(prompt: &str) -> (String, Value, Option<usize>) {
        let Flagged { prompt, fields, edit } = read(prompt);
        (prompt, Value::Object(fields), edit)
    }

    #[test]
    fn flags_are_taken_out_of_the_prompt() {
        assert_eq!(
            fields("a red fox --ar 16:9 --seed 7 --steps  9 --no blur, text --cfg 4.5"),
            (
                "a red fox".to_owned(),
                json!({
                    "aspect_ratio": "16:9", "seed": "7", "steps": "9", "negative_prompt": "blur, text",
                    "guidance_scale": "4.5",
                }),
                None
            )
        );
        assert_eq!(fields("—ar 1:1 一只狐狸").1, json!({"aspect_ratio": "1:1"}));
        assert_eq!(fields("make it blue --edit"), ("make it blue".to_owned(), json!({}), Some(1)));
        assert_eq!(fields("--edit 2 make it blue"), ("make it blue".to_owned(), json!({}), Some(2)));
        assert_eq!(fields("a fox\n--seed 7").0, "a fox");
    }

    #[test]
    fn what_is_no_flag_stays() {
        for prompt in ["a fox -- red", "a --fancy fox", "em—dash", "x--ar 16:9", "a\n\nb", "—", "--"] {
            assert_eq!(fields(prompt), (prompt.to_owned(), json!({}), None));
        }
        assert_eq!(fields("a fox --ar").1, json!({"aspect_ratio": ""}), "nothing is as good as none");
    }
}
