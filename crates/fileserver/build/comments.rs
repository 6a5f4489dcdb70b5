//! Code as it is sent: without the comments that have lines of their own, a fifth of it.

/// JavaScript or CSS without the comments that have lines of their own, and without empty lines. In a template of
/// several lines everything stays.
pub(crate) fn uncommented(code: &str) -> String {
    let (mut kept, mut in_comment, mut in_template) = (String::new(), false, false);
    for line in code.lines() {
        let text = line.trim();
        if !in_template {
            if in_comment || text.starts_with("/*") && !text.contains("*/") {
                in_comment = !text.contains("*/");
                // What is behind its end is code.
                let rest = text.split_once("*/").map_or("", |(_, rest)| rest.trim());
                if !rest.is_empty() {
                    kept += rest;
                    kept.push('\n');
                }
                continue;
            }
            if text.is_empty() || text.starts_with("//") || text.starts_with("/*") && text.ends_with("*/") {
                continue;
            }
        }
        in_template ^= line.replace("\\`", "").matches('`').count() % 2 == 1;
        kept += line;
        kept.push('\n');
    }
    kept
}
