//! Parsers of values, for the rows.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use super::variable::Invalid;

/// Result of a parser.
pub(super) type Parsed<T> = Result<T, Invalid<T>>;

/// Any text, without white space around it.
pub(super) fn text(text: &str) -> Parsed<String> {
    Ok(text.trim().to_owned())
}

/// Any text, as it is: lines and columns in it count.
pub(super) fn verbatim(text: &str) -> Parsed<String> {
    Ok(text.to_owned())
}

/// `true` or `on`, `false` or `off`.
pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text.trim() {
        "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err(Invalid::new("be true or on, false or off")),
    }
}

/// A whole number in `range`.
pub(super) fn number<T: FromStr + PartialOrd + Display>(text: &str, range: RangeInclusive<T>) -> Parsed<T> {
    let invalid = || Invalid::new(format!("be a whole number from {} to {}", range.start(), range.end()));
    text.trim().parse().ok().filter(|number| range.contains(number)).ok_or_else(invalid)
}

/// A whole number of seconds, from 1 to `greatest`.
pub(super) fn seconds(text: &str, greatest: u64) -> Parsed<Duration> {
    let read = number(text, 1..=greatest);
    read.map(Duration::from_secs).map_err(|Invalid { expected, .. }| Invalid::new(expected))
}

/// One of `words`, each of which stands for a value.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)], consequence: &'static str) -> Parsed<T> {
    let found = words.iter().find(|(word, _)| *word == text.trim());
    found.map(|(_, value)| *value).ok_or_else(|| {
        let quoted: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let (last, others) = quoted.split_last().map_or(("", &[][..]), |(last, others)| (last.as_str(), others));
        Invalid {
            expected: format!("be {} or {last}", others.join(", ")).into(),
            value: None,
            consequence: Some(consequence),
        }
    })
}

/// The URL of an origin and a path, without a slash at the end.
pub(super) fn base_url(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    let is_base = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    is_base.then(|| url.as_str().trim_end_matches('/').to_owned())
}
