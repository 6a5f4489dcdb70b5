//! `spin.toml`, as far as this host can run it.
//!
//! Source: the Spin manifest reference, version 2. What this host doesn't know is an error: an application that asks
//! for files must not start without them and fail later.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

/// An application.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) variables: BTreeMap<String, Variable>,
    pub(crate) triggers: Vec<Trigger>,
    components: Vec<Component>,
}

/// A variable of the application.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    pub(crate) default: Option<String>,
    #[serde(default)]
    pub(crate) required: bool,
    /// Marks a value that is to be kept out of sight. This host never shows any.
    #[serde(default, rename = "secret")]
    _secret: bool,
}

/// Routes: the components that answer paths.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trigger {
    pub(crate) route: String,
    pub(crate) component: String,
}

/// A WebAssembly component and what it may do.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) id: String,
    pub(crate) source: PathBuf,
    pub(crate) allowed_outbound_hosts: Vec<String>,
    pub(crate) sqlite_databases: Vec<String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) build_command: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireManifest {
    spin_manifest_version: u32,
    application: WireApplication,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    trigger: WireTriggers,
    component: BTreeMap<String, WireComponent>,
}

#[derive(Deserialize)]
struct WireApplication {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireTriggers {
    #[serde(default)]
    http: Vec<Trigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireComponent {
    source: PathBuf,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    sqlite_databases: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    build: Option<WireBuild>,
}

#[derive(Deserialize)]
struct WireBuild {
    command: Option<String>,
}

impl Manifest {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot serve {}", path.display()))
    }

    /// Reads a manifest's text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wire: WireManifest = toml::from_str(text)?;
        if wire.spin_manifest_version != 2 {
            bail!("spin_manifest_version is {}; this host knows version 2", wire.spin_manifest_version);
        }
        ensure!(!wire.trigger.http.is_empty(), "there is no [[trigger.http]]");
        for trigger in &wire.trigger.http {
            ensure!(
                wire.component.contains_key(&trigger.component),
                "route {} names the component `{}`, which there is not",
                trigger.route,
                trigger.component
            );
        }
        let components = wire.component.into_iter().map(|(id, component)| {
            let WireComponent { source, _description: _, allowed_outbound_hosts, sqlite_databases, variables, build } =
                component;
            let build_command = build.and_then(|build| build.command);
            Component { id, source, allowed_outbound_hosts, sqlite_databases, variables, build_command }
        });
        Ok(Self {
            name: wire.application.name,
            variables: wire.variables,
            triggers: wire.trigger.http,
            components: components.collect(),
        })
    }

    /// The components, by id.
    pub(crate) fn components(&self) -> &[Component] {
        &self.components
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "spin_manifest_version = 2\n[application]\nname = \"a\"\n";

    fn parse(rest: &str) -> Result<Manifest> {
        Manifest::parse(&format!("{START}{rest}"))
    }

    #[test]
    fn reads_what_it_can_run() {
        let manifest = parse(
            "[variables]\nk = { default = \"v\", secret = true }\n[[trigger.http]]\nroute = \"/...\"\n\
             component = \"c\"\n\
             [component.c]\nsource = \"c.wasm\"\nsqlite_databases = [\"default\"]\n\
             [component.c.variables]\nx = \"{{ k }}\"\n\
             [component.c.build]\ncommand = \"make\"\nwatch = []\n",
        )
        .unwrap();
        assert_eq!(manifest.components()[0].build_command.as_deref(), Some("make"));
        assert_eq!(manifest.components()[0].sqlite_databases, ["default"]);
        assert_eq!(manifest.variables["k"].default.as_deref(), Some("v"));
    }

    #[test]
    fn refuses_what_it_cannot() {
        let component = "[component.c]\nsource = \"c.wasm\"\n";
        let trigger = "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"c\"\n";
        for (rest, says) in [
            (component.to_owned(), "trigger"),
            (format!("{component}[trigger]\n"), "trigger.http"),
            (format!("{component}key_value_stores = [\"default\"]\n{trigger}"), "key_value_stores"),
            (format!("{component}ai_models = [\"llama\"]\n{trigger}"), "ai_models"),
            (format!("{component}[[trigger.redis]]\nchannel = \"x\"\ncomponent = \"c\"\n"), "redis"),
            (format!("{component}[[trigger.http]]\nroute = \"/\"\ncomponent = \"d\"\n"), "`d`"),
        ] {
            let error = format!("{:#}", parse(&rest).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
        assert!(Manifest::parse("spin_manifest_version = 1\n[application]\nname = \"a\"\n").is_err());
    }
}
