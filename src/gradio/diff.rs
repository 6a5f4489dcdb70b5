//! Outputs that a generator yields: first whole, then as differences.
//!
//! Source: Gradio's `utils.py` (`diff`), since 4.17. For each output a list of edits `[operation, path, value]`:
//! `replace` a value, `append` to a text, `add` an entry to a list or an object, `delete` one. An empty path is the
//! whole value, and an empty list leaves it as it is.
//!
//! Outputs grow with each yield, so their size and depth are bounded, and so is the cost of an edit: whatever exceeds
//! that is given up as if it didn't fit.

use serde_json::Value;

/// Size of outputs at most, in bytes: a gallery of images that come as text.
const MAX_SIZE: usize = 32 << 20;
/// Nesting of outputs at most.
const MAX_DEPTH: usize = 96;
/// Edits of a yield at most.
const MAX_EDITS: usize = 10_000;
/// Length of lists at most that entries are added to or deleted from but at their ends.
const MAX_SHIFTED: usize = 4096;
/// Size of a value beside its text, in bytes.
const VALUE: usize = 64;

/// The outputs of a generator, as far as it has come.
#[derive(Debug, Default)]
pub enum Yielded {
    /// Nothing has come.
    #[default]
    Nothing,
    /// The outputs.
    Outputs(Vec<Value>),
    /// Edits have come that don't fit: what is edited is known no longer.
    Lost,
}

impl Yielded {
    /// Size of the outputs that are kept, in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Outputs(outputs) => MAX_SIZE - outputs_room(outputs),
            Self::Nothing | Self::Lost => 0,
        }
    }

    /// Takes the next yield, and gives the outputs as they are then; none where it doesn't fit what came before, and
    /// from then on.
    pub fn take(&mut self, data: Vec<Value>) -> Option<&[Value]> {
        *self = match std::mem::take(self) {
            Self::Nothing => Self::Outputs(data),
            Self::Outputs(outputs) => edited(outputs, &data).map_or(Self::Lost, Self::Outputs),
            Self::Lost => Self::Lost,
        };
        match self {
            Self::Outputs(outputs) => Some(outputs),
            Self::Nothing | Self::Lost => None,
        }
    }
}

fn edited(mut outputs: Vec<Value>, data: &[Value]) -> Option<Vec<Value>> {
    let (mut left, mut size) = (MAX_EDITS, MAX_SIZE);
    for (output, edits) in outputs.iter_mut().zip(data) {
        for edit in edits.as_array().map(Vec::as_slice).unwrap_or_default() {
            left = left.checked_sub(1)?;
            apply(output, edit)?;
        }
        size = room_behind(output, size, MAX_DEPTH)?;
    }
    Some(outputs)
}

/// Room that the outputs leave of their size.
fn outputs_room(outputs: &[Value]) -> usize {
    outputs.iter().try_fold(MAX_SIZE, |room, output| room_behind(output, room, MAX_DEPTH)).unwrap_or_default()
}

/// Room that a value leaves of `room` bytes; none where it takes more, or is nested deeper than `depth`.
fn room_behind(value: &Value, room: usize, depth: usize) -> Option<usize> {
    let room = room.checked_sub(VALUE)?;
    match value {
        Value::String(text) => room.checked_sub(text.len()),
        Value::Array(items) => {
            let depth = depth.checked_sub(1)?;
            items.iter().try_fold(room, |room, item| room_behind(item, room, depth))
        }
        Value::Object(fields) => {
            let depth = depth.checked_sub(1)?;
            fields.iter().try_fold(room, |room, (name, value)| room_behind(value, room.checked_sub(name.len())?, depth))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(room),
    }
}

/// Does one edit.
fn apply(output: &mut Value, edit: &Value) -> Option<()> {
    let [operation, path, value] = edit.as_array()?.as_slice() else { return None };
    let Some((last, way)) = path.as_array()?.split_last() else {
        return match operation.as_str()? {
            "replace" => {
                *output = value.clone();
                Some(())
            }
            "append" => append(output, value),
            _ => None,
        };
    };
    let parent = way.iter().try_fold(output, step)?;
    match operation.as_str()? {
        "replace" => *step(parent, last)? = value.clone(),
        "append" => append(step(parent, last)?, value)?,
        "add" => match parent {
            Value::Array(items) => {
                let index = index(last)?;
                let is_cheap = index == items.len() || items.len() <= MAX_SHIFTED;
                (index <= items.len() && is_cheap).then(|| items.insert(index, value.clone()))?;
            }
            Value::Object(fields) => drop(fields.insert(last.as_str()?.to_owned(), value.clone())),
            _ => return None,
        },
        "delete" => match parent {
            Value::Array(items) => {
                let index = index(last)?;
                let is_cheap = index + 1 == items.len() || items.len() <= MAX_SHIFTED;
                (index < items.len() && is_cheap).then(|| items.remove(index))?;
            }
            Value::Object(fields) => drop(fields.remove(last.as_str()?)?),
            _ => return None,
        },
        _ => return None,
    }
    Some(())
}

fn append(text: &mut Value, more: &Value) -> Option<()> {
    match text {
        Value::String(text) => {
            let more = more.as_str()?;
            (text.len().saturating_add(more.len()) <= MAX_SIZE).then(|| text.push_str(more))
        }
        _ => None,
    }
}

fn step<'a>(value: &'a mut Value, key: &Value) -> Option<&'a mut Value> {
    match value {
        Value::Array(items) => items.get_mut(index(key)?),
        Value::Object(fields) => fields.get_mut(key.as_str()?),
        _ => None,
    }
}

fn index(key: &Value) -> Option<usize> {
    usize::try_from(key.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// True where the outputs are lost within that many yields of `edits`.
    fn is_lost_by(first: Value, edits: &Value, times: usize) -> bool {
        let mut yielded = Yielded::default();
        yielded.take(vec![first]);
        (0..times).any(|_| yielded.take(vec![edits.clone()]).is_none())
    }

    #[test]
    fn what_grows_without_end_is_given_up() {
        let append = json!([["append", [], "x".repeat(20 << 20)]]);
        assert!(!is_lost_by(json!(""), &append, 1));
        assert!(is_lost_by(json!(""), &append, 3));
        let nest = json!([["replace", [], {"a": [[[[[[[[0]]]]]]]]}]]);
        assert!(!is_lost_by(json!(0), &nest, 100), "replaced, it doesn't grow");
        let mut yielded = Yielded::default();
        yielded.take(vec![json!({})]);
        let deeper = |depth: usize| {
            let path: Vec<&str> = (0..depth).map(|_| "a").collect();
            json!([["add", path, {}]])
        };
        let lost = (1..).find(|depth| yielded.take(vec![deeper(*depth)]).is_none());
        assert_eq!(lost, Some(MAX_DEPTH), "nested deeper and deeper");
    }

    #[test]
    fn what_costs_too_much_is_given_up() {
        let long = json!(vec![0; 100_000]);
        assert!(is_lost_by(long.clone(), &json!([["add", [0], 1]]), 1), "all entries would move");
        assert!(!is_lost_by(long.clone(), &json!([["add", [100_000], 1]]), 1));
        assert!(is_lost_by(long, &json!([["delete", [0]]]), 1));
        let edits: Vec<Value> = (0..=MAX_EDITS).map(|_| json!(["replace", [], 1])).collect();
        assert!(is_lost_by(json!(0), &json!(edits), 1));
    }

    fn outputs(yields: Value) -> Option<Value> {
        let mut yielded = Yielded::default();
        let mut last = Vec::new();
        for data in yields.as_array().unwrap() {
            last = yielded.take(data.as_array().unwrap().clone())?.to_vec();
        }
        Some(json!(last))
    }

    #[test]
    fn every_edit_is_done() {
        let first = json!([{"a": [1, 2], "b": "x"}, "text", 7]);
        for (edits, expected) in [
            (json!([[["replace", ["a", 0], 9]], [], []]), json!([{"a": [9, 2], "b": "x"}, "text", 7])),
            (
                json!([[["append", ["b"], "y"]], [["append", [], "!"]], [["replace", [], null]]]),
                json!([{"a": [1, 2], "b": "xy"}, "text!", null]),
            ),
            (
                json!([[["add", ["a", 2], 3], ["add", ["c"], 4], ["delete", ["b"], null]], [], []]),
                json!([{"a": [1, 2, 3], "c": 4}, "text", 7]),
            ),
            (json!([[["delete", ["a", 0], null]], [], []]), json!([{"a": [2], "b": "x"}, "text", 7])),
        ] {
            assert_eq!(outputs(json!([first, edits])).unwrap(), expected, "{edits}");
        }
    }

    #[test]
    fn what_does_not_fit_is_no_output() {
        for edit in [
            json!(["replace", ["z"], 1]),
            json!(["append", [], "x"]),
            json!(["add", ["a", 9], 1]),
            json!(["delete", ["a", 9], null]),
            json!(["add", [], 1]),
            json!(["turn", ["a"], 1]),
            json!(["replace", "a", 1]),
            json!([]),
            json!(7),
            json!(["replace", ["a", -1], 1]),
            json!(["delete", ["z"], null]),
        ] {
            assert!(outputs(json!([[{"a": [1]}], [[edit]]])).is_none(), "{edit}");
        }
    }
}
