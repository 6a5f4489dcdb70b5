//! An option of a dropdown or radio.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An option of a parameter that is chosen from a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterChoice {
    /// Name for people.
    pub label: String,
    /// Value that is sent.
    pub value: Value,
}
