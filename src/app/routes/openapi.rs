//! The API's document against the route table.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Access, ROUTES};

/// Method and path of each operation, and whether it needs a key.
type Operations = BTreeSet<(String, String, bool)>;

/// Operations of the document.
fn described() -> Operations {
    let document: Value = serde_json::from_str(include_str!("../../../assets/openapi.json")).unwrap();
    let needs_key = |item: &Value| item.get("security").is_none_or(|security| security[0] != serde_json::json!({}));
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters");
        methods.map(move |(method, item)| (method.to_uppercase(), path.clone(), needs_key(item)))
    });
    operations.collect()
}

/// Operations of the route table; that each `GET` answers to `HEAD` too is said once for all.
fn routed() -> Operations {
    let operations = ROUTES.iter().flat_map(|row| {
        let path = row.pattern.replace("*}", "}").replace("img_{", "{");
        let methods: Vec<_> = row.methods.split(", ").collect();
        assert_eq!(methods.contains(&"GET"), methods.contains(&"HEAD"), "{path}");
        let methods = methods.into_iter().filter(|method| *method != "HEAD").map(str::to_owned);
        let needs_key = matches!(row.access, Access::Key);
        methods.map(move |method| (method, path.clone(), needs_key)).collect::<Vec<_>>()
    });
    operations.collect()
}

#[test]
fn the_document_has_every_route_and_no_other() {
    assert_eq!(described(), routed());
}
