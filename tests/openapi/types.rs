//! Fields of the types that are written as JSON, read from their source, against the document's schemas.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Type, its file below `src`, and its schema below `/components/schemas`.
const TYPES: [(&str, &str, &str); 22] = [
    ("Usage", "openai/usage.rs", "Usage"),
    ("TokenDetails", "openai/usage.rs", "TokenDetails"),
    ("ChatUsage", "openai/usage.rs", "Chat/properties/usage"),
    ("ResponseUsage", "openai/usage.rs", "Response/properties/usage"),
    ("ImageError", "openai/images/payload.rs", "ImageError"),
    ("ModelObject", "openai/models/object.rs", "Model"),
    ("ModelList", "openai/models/object.rs", "Models"),
    ("DefaultFields", "openai/models/object.rs", "ModelDetails/allOf/1/properties/defaults"),
    ("Capabilities", "dispatch/capabilities.rs", "Capabilities"),
    ("ParameterInfo", "dispatch/capabilities.rs", "Parameter"),
    ("PoolSpace", "dispatch/capabilities.rs", "ModelDetails/allOf/1/properties/spaces/items"),
    ("SpaceStatus", "dispatch/status.rs", "Space"),
    ("LatencyStatus", "dispatch/status.rs", "Space/properties/latency"),
    ("QueueStatus", "dispatch/status.rs", "Space/properties/queue"),
    ("BreakerStatus", "dispatch/status.rs", "Space/properties/breaker"),
    ("ErrorStatus", "dispatch/status.rs", "Space/properties/last_error"),
    ("RememberedObject", "history/view.rs", "MadeImage"),
    ("ListObject", "http/list.rs", "MadeImages"),
    ("ListObject", "http/list.rs", "Tasks"),
    ("TaskObject", "tasks/view.rs", "Task"),
    ("Fault", "tasks/image.rs", "Task/properties/error"),
    ("ErrorFields", "error/wire.rs", "Error/properties/error"),
];

/// A field, as it is written.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    /// `null` is written where there is no value.
    is_nullable: bool,
    /// It is always there.
    is_required: bool,
    /// JSON's type, where the field's says it.
    kind: Option<&'static str>,
}

/// The fields of a type that is declared in `source`.
fn fields(source: &str, name: &str) -> Vec<Field> {
    let start = [format!("struct {name} {{"), format!("struct {name}<")]
        .iter()
        .find_map(|head| source.find(head.as_str()))
        .unwrap_or_else(|| panic!("there is no type {name}"));
    let before = source[..start].rsplit("\n\n").next().unwrap();
    let skips_none = before.contains("#[skip_serializing_none]");
    let body = source[start..].split_once("{\n").unwrap().1.split_once("\n}").unwrap().0;
    let (mut fields, mut attributes) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
        if line.starts_with("#[") {
            attributes += line;
            continue;
        }
        let (name, kind) = line.trim_start_matches("pub ").trim_end_matches(',').split_once(": ").unwrap();
        let is_optional = kind.starts_with("Option<");
        let is_skipped = attributes.contains("skip_serializing_if") || is_optional && skips_none;
        fields.push(Field {
            name: name.trim_start_matches("pub(super) ").trim_start_matches("r#").to_owned(),
            is_nullable: is_optional && !is_skipped,
            is_required: !is_skipped,
            kind: json_kind(kind.trim_start_matches("Option<").trim_end_matches('>')),
        });
        assert!(!attributes.contains("flatten"), "{name} has fields of its own");
        attributes.clear();
    }
    fields
}

fn json_kind(kind: &str) -> Option<&'static str> {
    match kind {
        "u32" | "u64" | "usize" => Some("integer"),
        "f64" => Some("number"),
        "bool" => Some("boolean"),
        "String" | "&'static str" | "&'a str" => Some("string"),
        list if list.starts_with("Vec<") => Some("array"),
        _ => None,
    }
}

/// The types that a schema allows; a constant or a list of names says its own.
fn allowed(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        _ if schema["const"].is_string() => vec!["string"],
        _ => Vec::new(),
    }
}

/// Faults of a schema that is to describe such fields.
fn faults(document: &Value, schema: &Value, fields: &[Field]) -> Vec<String> {
    let properties = schema["properties"].as_object().unwrap();
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()).collect();
    let mut faults = Vec::new();
    for name in properties.keys().filter(|name| !fields.iter().any(|field| field.name == **name)) {
        faults.push(format!("{name} is never written"));
    }
    for field in fields {
        let Some(property) = properties.get(&field.name) else {
            faults.push(format!("nothing is said of {}", field.name));
            continue;
        };
        let property = crate::Schemas(document).resolved(property);
        if required.contains(&field.name.as_str()) != field.is_required {
            faults.push(format!("{}: required or not?", field.name));
        }
        let (kinds, is_union) = (allowed(property), property.get("anyOf").is_some());
        if field.kind.is_some_and(|kind| !kinds.is_empty() && !kinds.contains(&kind)) {
            faults.push(format!("{}: {kinds:?}, not {:?}", field.name, field.kind));
        }
        if !kinds.is_empty() && !is_union && kinds.contains(&"null") != field.is_nullable {
            faults.push(format!("{}: null or not?", field.name));
        }
    }
    faults
}

#[test]
fn every_type_that_is_written_has_its_fields_in_the_document() {
    let document = crate::document();
    for (name, file, place) in TYPES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        let fields = fields(&fs::read_to_string(path).unwrap(), name);
        let schema = document.pointer(&format!("/components/schemas/{place}")).expect(place);
        let faults = faults(&document, schema, &fields);
        assert!(!fields.is_empty() && faults.is_empty(), "{name} and {place}: {faults:#?}");
    }
}

#[test]
fn a_field_that_is_other_than_described_is_found() {
    let source = "#[derive(Serialize)]\nstruct A {\n    b: u64,\n    r#type: Option<String>,\n    \
                  #[serde(skip_serializing_if = \"Vec::is_empty\")]\n    pub c: Vec<u8>,\n}\n";
    let read = fields(source, "A");
    let described = serde_json::json!({
        "required": ["b", "type"],
        "properties": {"b": {"type": "integer"}, "type": {"type": ["string", "null"]}, "c": {"type": "array"}},
    });
    assert_eq!(faults(&Value::Null, &described, &read), [""; 0]);
    for (place, wrong) in [
        ("/required", serde_json::json!(["b"])),
        ("/properties/b/type", serde_json::json!("string")),
        ("/properties/type/type", serde_json::json!("string")),
        ("/properties/c", serde_json::json!({"type": "object"})),
    ] {
        let mut other = described.clone();
        *other.pointer_mut(place).unwrap() = wrong;
        assert_eq!(faults(&Value::Null, &other, &read).len(), 1, "{place}");
    }
}
