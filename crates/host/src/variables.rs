//! Application variables, and the templates that use them.
//!
//! A value comes, in this order, from `--variable`, from `SPIN_VARIABLE_<NAME>` and from the manifest's default, as in
//! Spin.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

use crate::manifest::Manifest;

/// The application's variables, each with its value where it has one.
#[derive(Debug)]
pub(crate) struct Variables(BTreeMap<String, Option<String>>);

impl Variables {
    /// Gives the manifest's variables their values; `set` are `KEY=VALUE` texts.
    pub(crate) fn resolve(manifest: &Manifest, set: &[String]) -> Result<Self> {
        #[allow(clippy::disallowed_methods, reason = "Spin's own way to set a variable")]
        let environment = |name: &str| std::env::var(format!("SPIN_VARIABLE_{}", name.to_uppercase())).ok();
        Self::resolve_from(manifest, set, environment)
    }

    fn resolve_from(manifest: &Manifest, set: &[String], environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut given = BTreeMap::new();
        for pair in set {
            let (name, value) = pair.split_once('=').context("--variable takes KEY=VALUE")?;
            if !manifest.variables.contains_key(name) {
                let known: Vec<_> = manifest.variables.keys().map(String::as_str).collect();
                bail!("--variable {name}: the manifest has no such variable. It has: {}", known.join(", "));
            }
            given.insert(name, value.to_owned());
        }
        let mut values = BTreeMap::new();
        for (name, variable) in &manifest.variables {
            let value = given.remove(name.as_str()).or_else(|| environment(name)).or_else(|| variable.default.clone());
            ensure!(
                value.is_some() || !variable.required,
                "the variable {name} is required: set it with --variable {name}=VALUE or SPIN_VARIABLE_{}",
                name.to_uppercase()
            );
            values.insert(name.clone(), value);
        }
        Ok(Self(values))
    }

    /// `template` with each `{{ name }}` in it replaced by its value.
    pub(crate) fn expand(&self, template: &str) -> Result<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").with_context(|| format!("`{template}`: {{{{ has no }}}}"))?;
            let name = name.trim();
            let value = self.0.get(name).with_context(|| format!("`{template}`: there is no variable {name}"))?;
            let value = value.as_deref().with_context(|| format!("`{template}`: the variable {name} has no value"))?;
            text.push_str(before);
            text.push_str(value);
            rest = after;
        }
        text.push_str(rest);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::parse(
            "spin_manifest_version = 2\n[application]\nname = \"a\"\n[variables]\na = { default = \"1\" }\n\
             b = { required = true }\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"c\"\n[component.c]\nsource = \"c.wasm\"\n",
        )
        .unwrap()
    }

    fn resolve(set: &[&str], environment: &[(&str, &str)]) -> Result<Variables> {
        let set: Vec<_> = set.iter().map(|pair| (*pair).to_owned()).collect();
        Variables::resolve_from(&manifest(), &set, |name| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_command_line_comes_first_then_the_environment_then_the_default() {
        let value =
            |set: &[&str], environment: &[(&str, &str)]| resolve(set, environment).unwrap().expand("{{a}}").unwrap();
        assert_eq!(value(&["b=x"], &[]), "1");
        assert_eq!(value(&["b=x"], &[("a", "2")]), "2");
        assert_eq!(value(&["b=x", "a=3=3"], &[("a", "2")]), "3=3");
    }

    #[test]
    fn what_is_missing_or_unknown_is_told() {
        for (set, says) in [(&[][..], "--variable b="), (&["c=1"], "It has: a, b"), (&["b"], "KEY=VALUE")] {
            let error = resolve(set, &[]).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn templates_are_expanded() {
        let variables = resolve(&["b=x"], &[]).unwrap();
        assert_eq!(variables.expand("http://{{ b }}:{{a}}/").unwrap(), "http://x:1/");
        for broken in ["{{ a", "{{ c }}"] {
            assert!(variables.expand(broken).is_err(), "{broken}");
        }
    }
}
