//! Outputs that a generator yields.

use serde_json::{Value, json};
use z_image_2api::bounded_json::JsonBounds;
use z_image_2api::gradio::diff::Yielded;

/// Nesting that outputs may have: that of an event, and some for what edits add.
const MAX_DEPTH: usize = 100;

/// Yields: edits do what Gradio means by them, what was lost stays lost, outputs stay bounded, and the differences that
/// Gradio makes of two outputs lead from one to the other.
pub fn diffs(data: &[u8]) {
    let Ok(yields) = JsonBounds::EVENT.parse::<Vec<Vec<Value>>>(data) else { return };
    let mut yielded = Yielded::default();
    let mut expected = None::<Vec<Value>>;
    let mut is_lost = false;
    for data in yields.clone() {
        expected = match expected {
            _ if is_lost => None,
            None => Some(data.clone()),
            Some(outputs) => edited(outputs, &data),
        };
        is_lost |= expected.is_none();
        let outputs = yielded.take(data);
        assert_eq!(outputs, expected.as_deref(), "{yields:?}");
        let is_bounded = |value| depth(value) <= MAX_DEPTH;
        assert!(outputs.unwrap_or_default().iter().all(is_bounded));
    }
    if let [before, after, ..] = yields.as_slice() {
        let length = before.len().min(after.len());
        let (before, after) = (before[..length].to_vec(), after[..length].to_vec());
        let edits = before.iter().zip(&after).map(|(before, after)| {
            let mut edits = Vec::new();
            differences(before, after, &mut Vec::new(), &mut edits);
            Value::Array(edits)
        });
        let edits: Vec<_> = edits.collect();
        let mut yielded = Yielded::default();
        yielded.take(before);
        assert_eq!(yielded.take(edits.clone()), Some(after.as_slice()), "{edits:?}");
    }
}

/// Edits done one after the other, in the simplest way. Inputs are so small here that no bound is met.
fn edited(outputs: Vec<Value>, data: &[Value]) -> Option<Vec<Value>> {
    let edit = |(index, output): (usize, Value)| {
        let edits = data.get(index).and_then(Value::as_array).cloned().unwrap_or_default();
        edits.iter().try_fold(output, |output, edit| {
            let [operation, path, value] = edit.as_array()?.as_slice() else { return None };
            done(output, operation.as_str()?, path.as_array()?, value)
        })
    };
    outputs.into_iter().enumerate().map(edit).collect()
}

fn done(output: Value, operation: &str, path: &[Value], value: &Value) -> Option<Value> {
    let Some((first, rest)) = path.split_first() else {
        return match (operation, output) {
            ("replace", _) => Some(value.clone()),
            ("append", Value::String(text)) => Some(json!(text + value.as_str()?)),
            _ => None,
        };
    };
    let is_last = rest.is_empty();
    match output {
        Value::Array(mut items) => {
            let index = usize::try_from(first.as_u64()?).ok()?;
            match operation {
                "add" if is_last => (index <= items.len()).then(|| items.insert(index, value.clone()))?,
                "delete" if is_last => drop((index < items.len()).then(|| items.remove(index))?),
                _ => {
                    let item = items.get_mut(index)?;
                    *item = done(item.take(), operation, rest, value)?;
                }
            }
            Some(Value::Array(items))
        }
        Value::Object(mut fields) => {
            let name = first.as_str()?;
            match operation {
                "add" if is_last => drop(fields.insert(name.to_owned(), value.clone())),
                "delete" if is_last => drop(fields.remove(name)?),
                _ => {
                    let inner = fields.get_mut(name)?;
                    *inner = done(inner.take(), operation, rest, value)?;
                }
            }
            Some(Value::Object(fields))
        }
        _ => None,
    }
}

/// Differences as Gradio's `utils.diff` makes them, deletions from the end on.
fn differences(before: &Value, after: &Value, path: &mut Vec<Value>, edits: &mut Vec<Value>) {
    if before == after {
        return;
    }
    let mut within = |key: Value, before: &Value, after: &Value, edits: &mut Vec<Value>| {
        path.push(key);
        differences(before, after, path, edits);
        path.pop();
    };
    match (before, after) {
        (Value::Array(old), Value::Array(new)) => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                within(json!(index), old, new, edits);
            }
            let at = |index: usize| [path.as_slice(), &[json!(index)]].concat();
            edits.extend((new.len()..old.len()).rev().map(|index| json!(["delete", at(index), null])));
            edits.extend((old.len()..new.len()).map(|index| json!(["add", at(index), new[index]])));
        }
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                if let Some(new) = new.get(name) {
                    within(json!(name), value, new, edits);
                }
            }
            let at = |name: &str| [path.as_slice(), &[json!(name)]].concat();
            edits.extend(
                old.keys().filter(|name| !new.contains_key(*name)).map(|name| json!(["delete", at(name), null])),
            );
            let added = new.iter().filter(|(name, _)| !old.contains_key(*name));
            edits.extend(added.map(|(name, value)| json!(["add", at(name), value])));
        }
        (Value::String(old), Value::String(new)) if new.starts_with(old.as_str()) => {
            edits.push(json!(["append", path, new[old.len()..]]));
        }
        _ => edits.push(json!(["replace", path, after])),
    }
}

/// Nesting of a value.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}
