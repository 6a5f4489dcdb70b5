//! Bounds of JSON from outside.

use serde_json::Value;
use z_image_2api::bounded_json::JsonBounds;

/// A text within its bounds is parsed as serde_json does, and never to more values or deeper than that; one that isn't
/// is refused; and wider bounds refuse nothing that narrower ones let pass.
pub fn json(data: &[u8]) {
    let serde = serde_json::from_slice::<Value>(data).ok();
    let mut held = false;
    for (values, depth) in [(4, 2), (30, 5), (1000, 64)] {
        let bounds = JsonBounds { values, depth };
        let holds = bounds.hold(data);
        assert!(holds || !held, "narrower bounds let it pass");
        held |= holds;
        let parsed = bounds.parse::<Value>(data).ok();
        assert_eq!(parsed, serde.clone().filter(|_| holds), "it agrees with serde_json");
        if let Some(parsed) = parsed {
            assert!(super::diffs::depth(&parsed) <= depth, "nested too deeply");
            assert!(count(&parsed) <= values, "too many values");
        }
    }
    if let Some(value) = serde {
        let text = value.to_string();
        let least = JsonBounds { values: 2 * count(&value) + 1, depth: super::diffs::depth(&value) };
        assert!(least.hold(text.as_bytes()), "what is small is never refused: {text}");
    }
}

/// Number of values.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}
