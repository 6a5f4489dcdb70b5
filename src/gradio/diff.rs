//! Outputs that a generator yields: first whole, then as differences.
//!
//! Source: Gradio's `utils.py` (`diff`), since 4.17. For each output a list of edits `[operation, path, value]`:
//! `replace` a value, `append` to a text, `add` an entry to a list or an object, `delete` one. An empty path is the
//! whole value, and an empty list leaves it as it is.

use serde_json::Value;

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
    for (output, edits) in outputs.iter_mut().zip(data) {
        for edit in edits.as_array().map(Vec::as_slice).unwrap_or_default() {
            apply(output, edit)?;
        }
    }
    Some(outputs)
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
                (index <= items.len()).then(|| items.insert(index, value.clone()))?;
            }
            Value::Object(fields) => drop(fields.insert(last.as_str()?.to_owned(), value.clone())),
            _ => return None,
        },
        "delete" => match parent {
            Value::Array(items) => {
                let index = index(last)?;
                (index < items.len()).then(|| items.remove(index))?;
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
            text.push_str(more.as_str()?);
            Some(())
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
