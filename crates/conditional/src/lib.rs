//! Conditional requests (RFC 9110 section 13) and ranges (section 14), for both components.

pub mod range;

use http::HeaderMap;
use http::header::IF_NONE_MATCH;

/// True where an `If-None-Match` of the request names `tag`, a strong entity tag: the client has it already. Tags are
/// compared weakly, as RFC 9110 section 13.1.2 asks.
pub fn none_match_names(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lines.into_iter().any(|line| line.trim() == "*" || line.split(',').any(|known| is_same(known.trim(), tag)))
}

fn is_same(known: &str, tag: &str) -> bool {
    known.trim_start_matches("W/") == tag
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_tag_is_found_among_others_in_either_strength() {
        for (line, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("\"b\" ,W/\"a\"", true),
            (" * ", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(line))]);
            assert_eq!(none_match_names(&headers, "\"a\""), expected, "{line}");
        }
        let mut headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("\"b\""))]);
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"a\""));
        assert!(none_match_names(&headers, "\"a\""), "on a second line");
        assert!(!none_match_names(&HeaderMap::new(), "\"a\""));
    }
}
