//! Choice of a file's coding: RFC 9110 section 12.5.3.

use crate::files::{Coding, Variant};

/// The variant that the client likes best, and of those it likes equally the smallest; `None` if it likes none.
///
/// `accept` is the `Accept-Encoding` header. Without one, the file goes as it is: that is always understood.
pub fn choose<'a>(variants: &'a [Variant], accept: Option<&str>) -> Option<&'a Variant> {
    let Some(accept) = accept else { return variants.iter().find(|variant| variant.coding.is_none()) };
    let liked = variants.iter().map(|variant| (quality(accept, variant.coding), variant));
    let liked = liked.filter(|(quality, _)| *quality > 0);
    liked
        .max_by_key(|(quality, variant)| (*quality, std::cmp::Reverse(variant.content.len())))
        .map(|(_, variant)| variant)
}

/// Weight that the client gives a coding, in thousandths.
fn quality(accept: &str, coding: Option<Coding>) -> u16 {
    let name = coding.map_or("identity", Coding::name);
    let mut any = None;
    for item in accept.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let token = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(1000, thousandths);
        if token == name || (token == "x-gzip" && name == "gzip") {
            return quality;
        }
        if token == "*" {
            any = Some(quality);
        }
    }
    // What isn't named: everything is acceptable as it is, unless `*` says otherwise, but less than what is named.
    any.unwrap_or(u16::from(coding.is_none()))
}

/// Reads a weight such as `0.25`. One that can't be read counts as none.
fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = || whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if whole.len() != 1 || fraction.len() > 3 || !digits() {
        return 0;
    }
    format!("{whole}{fraction:0<3}").parse().unwrap_or(0).min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read() {
        for (text, expected) in [
            ("1", 1000),
            ("0", 0),
            ("0.5", 500),
            ("1.000", 1000),
            ("0.001", 1),
            ("2", 1000),
            ("x", 0),
            ("", 0),
            ("0.1234", 0),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_named_comes_before_what_is_not() {
        assert_eq!(quality("gzip", Some(Coding::Gzip)), 1000);
        assert_eq!(quality("br", Some(Coding::Gzip)), 0);
        assert_eq!(quality("gzip", None), 1);
        assert_eq!(quality("*;q=0", None), 0);
        assert_eq!(quality("gzip, *;q=0", Some(Coding::Gzip)), 1000);
        assert_eq!(quality("GZIP;Q=0.3", Some(Coding::Gzip)), 300);
    }
}
