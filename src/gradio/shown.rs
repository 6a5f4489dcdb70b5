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
    /// Takes what the function has yielded.
    pub(super) fn yielded(&mut self, outputs: &[Value]) {
        self.0.resize(outputs.len(), Value::Null);
        for (shown, output) in self.0.iter_mut().zip(outputs) {
            match output.get("value") {
                _ if !is_update(output) => shown.clone_from(output),
                Some(value) => shown.clone_from(value),
                None => {}
            }
        }
    }

    /// The values.
    pub(super) fn values(&self) -> &[Value] {
        &self.0
    }

    /// Takes what the function has returned, and gives the values that are shown at the end.
    pub(super) fn returned(&mut self, outputs: Vec<Value>) -> Vec<Value> {
        self.0.resize(outputs.len(), Value::Null);
        for (shown, mut output) in self.0.iter_mut().zip(outputs) {
            if !is_update(&output) {
                *shown = output;
            } else if let Some(value) = output.get_mut("value") {
                *shown = value.take();
            }
        }
        std::mem::take(&mut self.0)
    }
}

fn is_update(output: &Value) -> bool {
    output.get("__type__").and_then(Value::as_str) == Some("update")
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
        shown.yielded(&outputs(first));
        assert_eq!(json!(shown.values()), json!([file, null, 7]));
        let second = json!([{"__type__": "update", "visible": false}, {"__type__": "update", "value": 8}, null]);
        shown.yielded(&outputs(second.clone()));
        assert_eq!(json!(shown.values()), json!([file, 8, null]));
        assert_eq!(json!(shown.returned(outputs(second))), json!([file, 8, null]));
        let cleared = json!([{"__type__": "update", "value": null}, {"__type__": "other"}, "update"]);
        assert_eq!(json!(shown.returned(outputs(cleared))), json!([null, {"__type__": "other"}, "update"]));
    }
}
