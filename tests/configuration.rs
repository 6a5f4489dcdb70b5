//! `spin.toml`, `docs/configuration.md` and the code have the same variables, with the same defaults and meanings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use z_image_2api::app::is_of_api;
use z_image_2api::settings::{ReadBy, Settings, VARIABLES, VariableRow};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn manifest() -> toml::Table {
    read("spin.toml").parse().unwrap()
}

/// The manifest's variables, by name: the default, and whether it is a secret.
fn declared() -> BTreeMap<String, (String, bool)> {
    let manifest = manifest();
    let variables = manifest["variables"].as_table().unwrap();
    let read = |variable: &toml::Value| {
        let is_secret = variable.get("secret").is_some_and(|secret| secret.as_bool().unwrap());
        (variable["default"].as_str().unwrap().to_owned(), is_secret)
    };
    variables.iter().map(|(name, variable)| (name.clone(), read(variable))).collect()
}

fn read_by(reader: ReadBy) -> impl Iterator<Item = &'static VariableRow> {
    VARIABLES.iter().filter(move |row| row.read_by == reader)
}

#[test]
fn the_manifest_declares_every_variable_with_its_default() {
    let rows = VARIABLES.iter().map(|row| (row.name.to_owned(), (row.default.to_owned(), row.is_secret)));
    assert_eq!(declared(), rows.collect());
}

#[test]
fn secrets_are_declared_as_such() {
    let secret = declared().into_iter().filter(|(_, (_, is_secret))| *is_secret).map(|(name, _)| name);
    assert_eq!(
        secret.collect::<Vec<_>>(),
        ["api_keys", "catalog", "database_url", "link_secret", "metrics_key", "webhook_secret"]
    );
}

#[test]
fn the_manual_has_every_variable_with_its_default_and_its_meaning() {
    let manual = read("docs/configuration.md");
    let cells = manual.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.splitn(3, '|').map(|cell| cell.trim().trim_matches('`'));
        Some((cells.next()?, cells.next()?, cells.next()?))
    });
    let cells: Vec<_> = cells.collect();
    assert_eq!(cells.len(), VARIABLES.len());
    for row in VARIABLES {
        let (_, default, meaning) = cells.iter().find(|(name, ..)| *name == row.name).expect(row.name);
        assert_eq!(*default, row.default, "{}", row.name);
        let meaning = meaning.trim_start_matches('`');
        assert!(meaning.starts_with(row.doc.trim_end_matches('.')), "{}: {meaning}, not {}", row.name, row.doc);
    }
}

#[test]
fn the_component_gets_every_variable_that_it_reads_and_no_other() {
    let manifest = manifest();
    let given = manifest["component"]["api"]["variables"].as_table().unwrap();
    let expected = read_by(ReadBy::Component)
        .map(|row| (row.name.to_owned(), toml::Value::from(format!("{{{{ {} }}}}", row.name))));
    assert_eq!(*given, expected.collect());
    let hosts = manifest["component"]["api"]["allowed_outbound_hosts"].as_array().unwrap();
    let unread: Vec<_> = read_by(ReadBy::Host).map(|row| row.name).collect();
    assert_eq!(
        unread,
        ["extra_host", "extra_image_host", "database_host"],
        "which widens where the component may connect to:"
    );
    for widening in ["{{ extra_host }}", "{{ extra_image_host }}", "{{ webhook_host }}", "{{ database_host }}"] {
        assert!(hosts.contains(&toml::Value::from(widening)), "{widening}");
    }
}

#[test]
fn a_default_that_is_set_is_as_one_that_is_not() {
    let set = Settings::parse(|name| VARIABLES.iter().find(|row| row.name == name).map_or("", |row| row.default));
    assert_eq!(set.problems, [""; 0]);
    assert_eq!(format!("{set:?}"), format!("{:?}", Settings::parse(|_| "")));
}

#[test]
fn the_manifest_leads_the_paths_of_the_api_to_it_and_others_to_the_studio() {
    let manifest = manifest();
    for trigger in manifest["trigger"]["http"].as_array().unwrap() {
        let (route, component) = (trigger["route"].as_str().unwrap(), trigger["component"].as_str().unwrap());
        let paths = match route.strip_suffix("/...") {
            Some(below) => vec![format!("{below}/"), format!("{below}/x/y"), format!("//{below}/x")],
            None => vec![route.to_owned()],
        };
        for path in paths {
            assert_eq!(is_of_api(&path), component == "api", "{path}");
        }
    }
    for path in ["", "/index.html", "/js/main.js", "/sw.js", "/v1x", "/x/v1/models"] {
        assert!(!is_of_api(path), "{path}");
    }
}
