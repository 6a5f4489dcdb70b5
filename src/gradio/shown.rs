//! Outputs of a function as its page shows them.
//!
//! A function may return an update of a component in place of a value: `gr.update(value=…, visible=True)`, or a
//! component. On the wire that is `{"__type__": "update", "value": …, …}` (Gradio's `blocks.py`,
//! `postprocess_update_dict`). One without a value changes other things than the value, which stays as it was.

use serde_json::Value;

/// Values of a function's outputs, as the last of what it has returned or yielded leaves them.
#[derive(Debug, Default)]
pub(super) struct Shown(Vec<Value>);

impl Shown {
    /// Takes what the function has returned or yielded, and gives the values that are shown then.
    pub(super) fn take(&mut self, outputs: &[Value]) -> Vec<Value> {
        self.0.resize(outputs.len(), Value::Null);
        for (shown, output) in self.0.iter_mut().zip(outputs) {
            match updated(output) {
                Change::All => shown.clone_from(output),
                Change::Value(value) => shown.clone_from(value),
                Change::Nothing => {}
            }
        }
        self.0.clone()
    }
}

/// What an output changes of a component's value.
enum Change<'a> {
    /// It is the value.
    All,
    /// It holds the value.
    Value(&'a Value),
    /// It leaves the value.
    Nothing,
}

fn updated(output: &Value) -> Change<'_> {
    match output.get("__type__").and_then(Value::as_str) {
        Some("update") => output.get("value").map_or(Change::Nothing, Change::Value),
        _ => Change::All,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_update_is_the_value_that_it_holds_and_else_changes_nothing() {
        let mut shown = Shown::default();
        let outputs = |value: Value| value.as_array().unwrap().clone();
        let file = json!({"path": "/a.png"});
        let first = json!([{"__type__": "update", "visible": true, "value": file}, {"__type__": "update"}, 7]);
        assert_eq!(json!(shown.take(&outputs(first))), json!([file, null, 7]));
        let second = json!([{"__type__": "update", "visible": false}, {"__type__": "update", "value": 8}, null]);
        assert_eq!(json!(shown.take(&outputs(second))), json!([file, 8, null]));
        let cleared = json!([{"__type__": "update", "value": null}, {"__type__": "other"}, "update"]);
        assert_eq!(json!(shown.take(&outputs(cleared))), json!([null, {"__type__": "other"}, "update"]));
    }
}
