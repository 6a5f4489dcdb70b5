//! The runtime configuration, which says what stands behind the names in a manifest: Spin's file of that name, as far as this host can
//! follow it.
//!
//! ```toml
//! [key_value_store.default]
//! type = "redis"
//! url = "redis://127.0.0.1:6379"
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// What stands behind the names in a manifest.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuntimeConfig {
    #[serde(default)]
    pub(crate) key_value_store: BTreeMap<String, StoreConfig>,
}

/// What a key-value store is.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum StoreConfig {
    /// The host's own file.
    Spin {},
    /// A Redis server's database.
    Redis { url: String },
}

impl RuntimeConfig {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        // The error would show the line, and that may hold a password.
        Self::parse(&text).with_context(|| format!("cannot follow {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_named_and_what_is_unknown_is_refused() {
        let config = RuntimeConfig::parse(
            "[key_value_store.default]\ntype = \"redis\"\nurl = \"redis://h\"\n[key_value_store.x]\ntype = \"spin\"\n",
        )
        .unwrap();
        assert_eq!(config.key_value_store["default"], StoreConfig::Redis { url: "redis://h".to_owned() });
        for wrong in [
            "[key_value_store.default]\ntype = \"azure_cosmos\"\nkey = \"secret\"\n",
            "[key_value_store.default]\ntype = \"redis\"\n",
            "[key_value_store.default]\ntype = \"redis\"\nurl = \"secret\"\nmore = 1\n",
            "[outbound_networking]\nblock_networks = []\n",
        ] {
            let error = format!("{:#}", RuntimeConfig::parse(wrong).unwrap_err());
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
