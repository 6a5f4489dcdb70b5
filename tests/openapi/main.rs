//! The API's document, `assets/openapi.json`, against the answers in `tests/golden` and the reading of requests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may"
)]

mod schema;
mod types;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use z_image_2api::openai::fields::Fields;
use z_image_2api::openai::image_request::ImageRequest;
use z_image_2api::platform::sim::World;

use crate::schema::Schemas;

fn document() -> Value {
    serde_json::from_str(include_str!("../../assets/openapi.json")).unwrap()
}

/// Schemas of the answers of each folder of golden files, by the beginning of the file's name; the first counts.
const ANSWERS: [(&str, &str); 15] = [
    ("chat/", "Chat"),
    ("edits/", "Images"),
    ("health/healthz", "Health"),
    ("history/deleted", "Deleted"),
    ("history/", "MadeImages"),
    ("images/", "Images"),
    ("models/list", "Models"),
    ("models/one", "ModelDetails"),
    ("models/", "Error"),
    ("responses/", "Response"),
    ("tasks/forgotten", "Deleted"),
    ("tasks/list", "Tasks"),
    ("tasks/", "Task"),
    ("variations/", "Images"),
    ("errors/", "Error"),
];

/// The JSON answers in `tests/golden`: name, status, body.
fn golden() -> Vec<(String, u16, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folders = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|kind| kind == "json")).collect();
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let (head, body) = text.split_once("\n\n").unwrap();
        let status = head.lines().next().unwrap().strip_prefix("HTTP ").unwrap().parse().unwrap();
        // Times are written as words.
        let body = serde_json::from_str(&body.replace("\"<time>\"", "1").replace("\"<duration>\"", "1")).unwrap();
        (file.strip_prefix(&folder).unwrap().display().to_string(), status, body)
    };
    files.iter().map(read).collect()
}

#[test]
fn every_golden_answer_is_as_the_document_says() {
    let document = document();
    let schemas = Schemas(&document);
    let answers = golden();
    assert!(answers.len() > 30, "{} answers", answers.len());
    for (file, status, mut body) in answers {
        let name = ANSWERS.iter().find(|(start, _)| file.starts_with(start)).expect(&file).1;
        let name = if status < 400 { name } else { "Error" };
        if name == "ModelDetails" {
            // The file has the answer without what depends on the machine's speed.
            body["spaces"] = json!([{"name": "a/b", "state": "ready"}]);
        }
        let faults = schemas.faults(&document["components"]["schemas"][name], &body, "");
        assert!(faults.is_empty(), "{file} is no {name}: {faults:#?}");
    }
}

#[test]
fn a_wrong_answer_is_told_from_a_right_one() {
    let document = document();
    let schema = &document["components"]["schemas"]["Error"];
    for wrong in [
        json!({}),
        json!({"error": {"message": "x", "type": "x", "param": null}}),
        json!({"error": {"message": "x", "type": "x", "param": 7, "code": null}}),
        json!({"error": {"message": "x", "type": "x", "param": null, "code": null, "more": 1}}),
    ] {
        assert!(!Schemas(&document).faults(schema, &wrong, "").is_empty(), "{wrong}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let text = document.to_string();
    let references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
    for kind in ["schemas", "parameters", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(text.contains(&format!("\"$ref\":\"#/components/{kind}/{name}\"")), "{name} is used nowhere");
        }
    }
}

#[test]
fn the_document_has_the_crates_version() {
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// Parses a request for images with that field.
fn read(field: &str, value: &Value) -> Result<ImageRequest, z_image_2api::error::Error> {
    let world = World::new(1);
    let mut fields = Map::from_iter([("prompt".to_owned(), Value::from("a fox"))]);
    fields.insert(field.to_owned(), value.clone());
    ImageRequest::read(&Fields::new(fields), &world.host())
}

/// Fields of the document's schema.
fn fields(document: &Value, schema: &str) -> Map<String, Value> {
    document["components"]["schemas"][schema]["properties"].as_object().unwrap().clone()
}

#[test]
fn the_fields_of_a_request_are_those_that_are_read() {
    for (name, schema) in fields(&document(), "GenerationRequest") {
        let taken = read(&name, &Value::Null).unwrap_or_else(|error| {
            assert_eq!((name.as_str(), error.param), ("prompt", Some("prompt")));
            read("prompt", &Value::from("a fox")).unwrap()
        });
        assert!(taken.generation.extras.is_empty());
        let value = match schema["type"].as_str().unwrap() {
            "string" => schema["enum"][0].as_str().or(schema["examples"][0].as_str()).unwrap_or("x").into(),
            "boolean" => json!(true),
            _ => schema["maximum"].clone(),
        };
        let taken = read(&name, &value).unwrap_or_else(|error| panic!("{name}: {}", error.message));
        assert!(taken.generation.extras.is_empty(), "{name} is taken for a Space's own");
    }
    assert!(!read("shift", &json!(3)).unwrap().generation.extras.is_empty());
}

#[test]
fn the_bounds_of_a_request_are_those_that_hold() {
    let mut count = 0;
    for (name, schema) in fields(&document(), "GenerationRequest") {
        let refused = |value: Value| read(&name, &value).err().and_then(|error| error.param);
        for (bound, step) in [("minimum", -1.0), ("maximum", 1.0)] {
            let Some(bound) = schema.get(bound) else { continue };
            count += 1;
            assert_eq!(refused(bound.clone()), None, "{name}: {bound}");
            let mut beyond = json!(bound.as_f64().unwrap() + step);
            if schema["type"] == "integer" {
                beyond = json!(bound.as_i64().unwrap() + if step < 0.0 { -1 } else { 1 });
            }
            assert_eq!(refused(beyond.clone()), Some(name.as_str()), "{name}: {beyond}");
        }
        let names: Vec<_> = schema.get("enum").and_then(Value::as_array).into_iter().flatten().cloned().collect();
        for value in &names {
            assert_eq!(refused(value.clone()), None, "{name}: {value}");
        }
        // Of the form of delivery, other words are taken for none.
        if !names.is_empty() && name != "response_format" {
            assert_eq!(refused(json!("no such word")), Some(name.as_str()));
        }
        if let Some(longest) = schema.get("maxLength").and_then(Value::as_u64) {
            let longest = usize::try_from(longest).unwrap();
            assert_eq!(refused("x".repeat(longest).into()), None, "{name}");
            assert_eq!(refused("x".repeat(longest + 1).into()), Some("prompt"));
        }
    }
    assert!(count >= 18, "{count} bounds");
}
