//! Labels of figures, in the form that Prometheus reads and the database keeps.

use std::fmt::Write as _;

/// Labels of those names and values: `model="z",outcome="made"`.
pub fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(64);
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        let _ = write!(text, "{name}=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                // PostgreSQL's texts can't hold it.
                '\0' => {}
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::labels;

    #[test]
    fn no_value_leaves_its_place() {
        assert_eq!(labels(&[]), "");
        assert_eq!(labels(&[("a", "x\"\\\n\0é"), ("b", "")]), "a=\"x\\\"\\\\\\né\",b=\"\"");
    }
}
