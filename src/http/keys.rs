//! API keys.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::hex::hex;

/// API keys, of which only the SHA-256 digests are kept.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    /// Parses comma-separated keys; spaces around them and empty ones don't count.
    pub fn parse(text: &str) -> Self {
        let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
        Self(keys.map(|key| Sha256::digest(key.as_bytes()).into()).collect())
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Id of the key that `presented` is. The time this takes depends on the number of keys and the length of
    /// `presented`, and on no key: digests are compared, each with all others, in constant time.
    pub fn find(&self, presented: &[u8]) -> Option<KeyId> {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let found = self.0.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(&presented));
        bool::from(found).then(|| KeyId(hex(presented.iter().take(8))))
    }
}

/// Id of a key, for what belongs to one: the first 64 bits of its digest, from which it can't be recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyId(String);

impl KeyId {
    /// Lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let keys = ApiKeys::parse(" sk-a, sk-b,,");
        assert!(keys.find(b"sk-a").is_some() && keys.find(b"sk-b").is_some());
        assert_ne!(keys.find(b"sk-a"), keys.find(b"sk-b"));
        for wrong in ["", "sk-", "sk-A", "sk-a,sk-b", " sk-a", "sk-c"] {
            assert_eq!(keys.find(wrong.as_bytes()), None, "{wrong}");
        }
        assert!(ApiKeys::parse(" , ").is_empty());
        assert_eq!(ApiKeys::default().find(b""), None);
        assert!(!format!("{keys:?}").contains("sk"), "keys can't be printed");
    }
}
