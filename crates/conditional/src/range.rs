//! Part of a file that a client wants: RFC 9110 section 14.

/// Meaning of a `Range` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All of it: there is no range, or one that may be passed over (another unit, several at once, nonsense).
    Whole,
    /// From the first byte to the last, both included.
    Part(usize, usize),
    /// Nothing of it lies inside the file.
    Unsatisfiable,
}

/// Reads the header for a file of `length` bytes.
pub fn parse(header: &str, length: usize) -> Range {
    let Some((first, last)) = header.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Range::Whole;
    };
    match (first.trim(), last.trim()) {
        ("", suffix) => match suffix.parse::<usize>() {
            Ok(0) => Range::Unsatisfiable,
            Ok(_) if length == 0 => Range::Unsatisfiable,
            Ok(wanted) => Range::Part(length.saturating_sub(wanted), length - 1),
            Err(_) => Range::Whole,
        },
        (first, last) => {
            let Ok(first) = first.parse::<usize>() else { return Range::Whole };
            let last = if last.is_empty() { Ok(usize::MAX) } else { last.parse() };
            match last {
                Ok(last) if last < first => Range::Whole,
                Ok(_) if first >= length => Range::Unsatisfiable,
                Ok(last) => Range::Part(first, last.min(length - 1)),
                Err(_) => Range::Whole,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (header, expected) in [
            ("bytes=0-0", Range::Part(0, 0)),
            ("bytes=2-", Range::Part(2, 9)),
            ("bytes=5-100", Range::Part(5, 9)),
            ("bytes=-3", Range::Part(7, 9)),
            ("bytes=-100", Range::Part(0, 9)),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=3-2", Range::Whole),
            ("bytes=0-1,3-4", Range::Whole),
            ("items=0-1", Range::Whole),
            ("bytes=", Range::Whole),
            ("bytes=x-y", Range::Whole),
            ("", Range::Whole),
            ("bytes=99999999999999999999-", Range::Whole),
        ] {
            assert_eq!(parse(header, 10), expected, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Range::Unsatisfiable);
        assert_eq!(parse("bytes=-1", 0), Range::Unsatisfiable);
    }
}
