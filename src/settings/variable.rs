//! A variable, and the reading of its value.

use std::borrow::Cow;

/// Description of a variable: what `spin.toml` and the manual have of it too.
#[derive(Clone, Copy, Debug)]
pub struct VariableRow {
    /// Its name.
    pub name: &'static str,
    /// Value where the operator sets none, as `spin.toml` writes it.
    pub default: &'static str,
    /// Marks a value that is never shown.
    pub is_secret: bool,
    /// Meaning, in one line: the manual's row begins with it.
    pub doc: &'static str,
    /// Reader of its values.
    pub read_by: ReadBy,
}

/// Reader of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBy {
    /// The component.
    Component,
    /// The host alone: it widens where the component may connect to.
    Host,
}

/// A variable whose values are of type `T`.
pub(super) struct Variable<T> {
    pub(super) row: VariableRow,
    /// Parser of a value.
    pub(super) parse: fn(&str) -> Result<T, Invalid<T>>,
}

/// A value that can't be read.
pub(super) struct Invalid<T> {
    /// Rule for values, after "must": `be a whole number from 1 to 9`.
    pub(super) expected: Cow<'static, str>,
    /// Value in its place; `None` for the default.
    pub(super) value: Option<T>,
    /// Consequence, for the log, where it isn't that the default is used.
    pub(super) consequence: Option<&'static str>,
}

/// Values of all variables, and what was found wrong with them.
pub(super) struct Values<'g, 'v> {
    get: &'g dyn Fn(&'static str) -> &'v str,
    pub(super) problems: Vec<String>,
}

impl<T> Invalid<T> {
    /// A value that must do as `expected`, and in whose place the default is used.
    pub(super) fn new(expected: impl Into<Cow<'static, str>>) -> Self {
        Self { expected: expected.into(), value: None, consequence: None }
    }

    /// The same, with `value` in its place.
    pub(super) fn with(self, value: T, consequence: &'static str) -> Self {
        Self { value: Some(value), consequence: Some(consequence), ..self }
    }
}

impl<'g, 'v> Values<'g, 'v> {
    /// The values that `get` gives; an empty one is as good as none.
    pub(super) fn new(get: &'g dyn Fn(&'static str) -> &'v str) -> Self {
        Self { get, problems: Vec::new() }
    }

    /// The value of `variable`: its default where none is set, or what is set can't be read.
    pub(super) fn read<T: Default>(&mut self, variable: &Variable<T>) -> T {
        let VariableRow { name, default, .. } = variable.row;
        let default_value = || (variable.parse)(default).unwrap_or_default();
        let text = (self.get)(name);
        if text.trim().is_empty() {
            return default_value();
        }
        (variable.parse)(text).unwrap_or_else(|Invalid { expected, value, consequence }| {
            let used = format!("{default} is used");
            self.report(&format!("{name} must {expected}; {}", consequence.unwrap_or(&used)));
            value.unwrap_or_else(default_value)
        })
    }

    /// Keeps a problem for the log.
    pub(super) fn report(&mut self, problem: &str) {
        self.problems.push(problem.to_owned());
    }
}
