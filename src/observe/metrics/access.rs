//! Access to the figures.

use http::HeaderMap;

use crate::http::auth::bearer;
use crate::http::keys::ApiKeys;

/// Shortest key, in bytes.
const LEAST: usize = 16;

/// Access to the figures.
#[derive(Clone, Debug, Default)]
pub enum MetricsAccess {
    /// Nobody's: there are none.
    #[default]
    Off,
    /// Everybody's.
    Open,
    /// Theirs who have the key.
    Key(ApiKeys),
}

impl MetricsAccess {
    /// Access by that text: a key, or `open`. None for a key that is too short.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "" => Some(Self::Off),
            "open" => Some(Self::Open),
            // One key: what separates others may be in it.
            key => (key.len() >= LEAST && !key.contains(',')).then(|| Self::Key(ApiKeys::parse(key))),
        }
    }

    /// True where figures are kept.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// True for a request that may read them, by its `Authorization: Bearer KEY` (RFC 6750).
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Off => false,
            Self::Open => true,
            Self::Key(key) => bearer(headers).is_some_and(|presented| key.find(presented).is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::AUTHORIZATION;

    use super::*;

    #[test]
    fn a_word_that_may_be_a_slip_opens_nothing() {
        let admits = |access: &str, value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            MetricsAccess::parse(access).map(|access| access.admits(&headers))
        };
        assert_eq!(admits("", "Bearer x"), Some(false));
        assert_eq!(admits(" open ", "x"), Some(true));
        assert_eq!((admits("opne", "Bearer opne"), admits("0123456789,abcdefg", "x")), (None, None));
        let key = "0123456789abcdef";
        assert_eq!(admits(key, "bearer  0123456789abcdef"), Some(true));
        for wrong in ["0123456789abcdef", "Basic 0123456789abcdef", "Bearer 0123456789abcde", "Bearer", ""] {
            assert_eq!(admits(key, wrong), Some(false), "{wrong}");
        }
    }
}
