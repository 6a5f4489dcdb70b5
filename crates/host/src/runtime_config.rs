//! The runtime configuration, which says what stands behind the names in a manifest: Spin's file of that name, as far
//! as this host can follow it.
//!
//! ```toml
//! [sqlite_database.default]
//! type = "spin"
//! path = "/var/lib/z-image/default.db"
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Runtime configuration: what stands behind the names in a manifest.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuntimeConfig {
    #[serde(default)]
    pub(crate) sqlite_database: BTreeMap<String, DatabaseConfig>,
}

/// Configuration of a SQLite database.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum DatabaseConfig {
    /// A file, or memory where no path is given. A relative path is looked up from the host's working directory.
    Spin {
        path: Option<PathBuf>,
        #[serde(default)]
        allow_attach_file: bool,
    },
    /// A server that speaks libSQL, which only Spin has. Its settings aren't looked at.
    Libsql {
        #[serde(rename = "url")]
        _url: Option<IgnoredAny>,
        #[serde(rename = "token")]
        _token: Option<IgnoredAny>,
    },
}

impl RuntimeConfig {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        // The error would show the line, and that may hold a password.
        Self::parse(&text).with_context(|| format!("cannot follow {}", path.display()))
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.message()))?;
        for (label, database) in &config.sqlite_database {
            if matches!(database, DatabaseConfig::Libsql { .. }) {
                bail!(
                    "[sqlite_database.{label}] has type = \"libsql\", which this host doesn't have: use \"spin\", or \
                     run the application in Spin"
                );
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_named_and_what_is_unknown_is_refused() {
        let config = RuntimeConfig::parse("[sqlite_database.default]\ntype = \"spin\"\npath = \"/x.db\"\n").unwrap();
        assert!(matches!(&config.sqlite_database["default"], DatabaseConfig::Spin { path: Some(_), .. }));
        for wrong in [
            "[sqlite_database.default]\ntype = \"other\"\nkey = \"secret\"\n",
            "[key_value_store.default]\ntype = \"redis\"\nurl = \"secret\"\n",
            "[sqlite_database.default]\ntype = \"spin\"\nkey = \"secret\"\n",
            "[outbound_networking]\nblock_networks = []\n",
        ] {
            let error = format!("{:#}", RuntimeConfig::parse(wrong).unwrap_err());
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn libsql_is_refused_by_name() {
        let error =
            RuntimeConfig::parse("[sqlite_database.x]\ntype = \"libsql\"\nurl = \"secret\"\ntoken = \"secret\"\n");
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("[sqlite_database.x]") && error.contains("libsql"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
