//! JSON Schema, as far as the API's document uses it, read strictly: a field that no schema names is a fault.

use std::collections::BTreeSet;

use serde_json::Value;

/// Keywords that check something here, or that only tell.
const KNOWN: [&str; 25] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "examples",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
    "summary",
    "title",
    "deprecated",
];

/// A document with schemas.
pub(crate) struct Schemas<'a>(pub(crate) &'a Value);

impl<'a> Schemas<'a> {
    /// A schema, or what it refers to.
    pub(crate) fn resolved(&self, schema: &'a Value) -> &'a Value {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(path) => self.resolved(self.0.pointer(path.strip_prefix('#').unwrap()).expect(path)),
            None => schema,
        }
    }

    /// Faults of a value, each with its place.
    pub(crate) fn faults(&self, schema: &'a Value, value: &Value, place: &str) -> Vec<String> {
        let mut faults = self.own_faults(schema, value, place);
        if let (Some(fields), false) = (value.as_object(), self.is_open(schema)) {
            let known = self.names(schema);
            let unknown = fields.keys().filter(|name| !known.contains(name.as_str()));
            faults.extend(unknown.map(|name| format!("{place}: nothing is said of {name}")));
        }
        faults
    }

    fn own_faults(&self, schema: &'a Value, value: &Value, place: &str) -> Vec<String> {
        let schema = self.resolved(schema);
        let fields = schema.as_object().expect("a schema is an object");
        for keyword in fields.keys() {
            assert!(KNOWN.contains(&keyword.as_str()), "{place}: {keyword} is not checked");
        }
        let mut faults = Vec::new();
        let mut hold = |holds: bool, fault: String| {
            if !holds {
                faults.push(format!("{place}: {fault}, not {value}"));
            }
        };
        if let Some(types) = schema.get("type") {
            let types = types.as_array().map_or_else(|| vec![types], |types| types.iter().collect());
            hold(types.iter().any(|kind| is_of(kind.as_str().unwrap(), value)), format!("{types:?} is wanted"));
        }
        if let Some(only) = schema.get("const") {
            hold(only == value, format!("{only} is wanted"));
        }
        if let Some(names) = schema.get("enum").and_then(Value::as_array) {
            hold(names.contains(value), format!("one of {names:?} is wanted"));
        }
        if let Some(number) = value.as_f64() {
            hold(schema.get("minimum").is_none_or(|least| number >= least.as_f64().unwrap()), "it is too small".into());
            hold(schema.get("maximum").is_none_or(|most| number <= most.as_f64().unwrap()), "it is too large".into());
        }
        if let Some(object) = value.as_object() {
            for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                hold(object.contains_key(name.as_str().unwrap()), format!("{name} is missing"));
            }
        }
        if let (Some(properties), Some(object)) = (schema.get("properties"), value.as_object()) {
            for (name, value) in object {
                let Some(property) = properties.get(name) else { continue };
                faults.extend(self.faults(property, value, &format!("{place}.{name}")));
            }
        }
        if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
            for (index, value) in values.iter().enumerate() {
                faults.extend(self.faults(items, value, &format!("{place}[{index}]")));
            }
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            faults.extend(self.own_faults(part, value, place));
        }
        for choice in ["anyOf", "oneOf"] {
            if let Some(parts) = schema.get(choice).and_then(Value::as_array) {
                let of_each: Vec<_> = parts.iter().map(|part| self.faults(part, value, place)).collect();
                if of_each.iter().all(|faults| !faults.is_empty()) {
                    faults.extend(of_each.into_iter().flatten());
                }
            }
        }
        faults
    }

    /// Names of the fields that a schema and its parts know.
    fn names(&self, schema: &'a Value) -> BTreeSet<&'a str> {
        let schema = self.resolved(schema);
        let own = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut names: BTreeSet<&str> = own.map(|(name, _)| name.as_str()).collect();
        for part in ["allOf", "anyOf", "oneOf"] {
            let parts = schema.get(part).and_then(Value::as_array).into_iter().flatten();
            names.extend(parts.flat_map(|part| self.names(part)));
        }
        names
    }

    /// True for an object of which nothing is said, or that may have any fields.
    fn is_open(&self, schema: &'a Value) -> bool {
        let schema = self.resolved(schema);
        self.names(schema).is_empty() || schema.get("additionalProperties") == Some(&Value::Bool(true))
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    }
}
