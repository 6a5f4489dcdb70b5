//! `spin.toml`, `docs/configuration.md` and the code know the same variables with the same defaults.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use z_image_2api::settings::{NAMES, Settings};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn manifest() -> toml::Table {
    read("spin.toml").parse().unwrap()
}

/// The manifest's variables with their defaults.
fn defaults() -> BTreeMap<String, String> {
    let manifest = manifest();
    let variables = manifest["variables"].as_table().unwrap();
    variables.iter().map(|(name, variable)| (name.clone(), variable["default"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn the_manual_tells_every_variable_and_its_default() {
    let manual = read("docs/configuration.md");
    let rows = manual.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(|cell| cell.trim().trim_matches('`'));
        Some((cells.next()?.to_owned(), cells.next()?.to_owned()))
    });
    assert_eq!(rows.collect::<BTreeMap<_, _>>(), defaults());
}

#[test]
fn the_component_gets_every_variable_that_it_reads_and_no_other() {
    let manifest = manifest();
    let given = manifest["component"]["api"]["variables"].as_table().unwrap();
    let expected = NAMES.map(|name| (name.to_owned(), toml::Value::from(format!("{{{{ {name} }}}}"))));
    assert_eq!(*given, toml::Table::from_iter(expected));
    let hosts = manifest["component"]["api"]["allowed_outbound_hosts"].as_array().unwrap();
    let unread: Vec<_> = defaults().into_keys().filter(|name| !NAMES.contains(&name.as_str())).collect();
    assert_eq!(unread, ["database_host", "extra_host"], "which widens where the component may connect to:");
    for widening in ["{{ extra_host }}", "{{ webhook_host }}", "{{ database_host }}"] {
        assert!(hosts.contains(&toml::Value::from(widening)), "{widening}");
    }
}

#[test]
fn secrets_are_declared_as_such() {
    let manifest = manifest();
    let variables = manifest["variables"].as_table().unwrap();
    let secret = variables.iter().filter(|(_, variable)| variable.get("secret") == Some(&true.into()));
    assert_eq!(
        secret.map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["api_keys", "catalog", "database_url", "link_secret", "webhook_secret"]
    );
}

#[test]
fn the_manifests_defaults_are_the_codes() {
    let defaults = defaults();
    let set = Settings::parse(|name| defaults.get(name).map_or("", String::as_str));
    assert_eq!(set.problems, [""; 0]);
    assert_eq!(format!("{set:?}"), format!("{:?}", Settings::parse(|_| "")));
}
