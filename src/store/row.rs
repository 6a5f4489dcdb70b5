//! Conversions between values of the database and Rust types.

use crate::platform::{Row, StoreError, Value};

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Integer(i64::from(is_so))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Reader of a row's values, in the order of the statement's columns.
#[derive(Debug)]
pub struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    /// Reader of `row`.
    pub fn of(row: Row) -> Self {
        Self(row.into_iter())
    }

    /// Next value as a text.
    ///
    /// # Errors
    /// A value of another type.
    pub fn text(&mut self) -> Result<String, StoreError> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(text),
            other => Err(unexpected("a text", other.as_ref())),
        }
    }

    /// Next value as a text or NULL.
    ///
    /// # Errors
    /// A value of another type.
    pub fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            other => Err(unexpected("a text or none", other.as_ref())),
        }
    }

    /// Next value as an integer.
    ///
    /// # Errors
    /// A value of another type.
    pub fn integer(&mut self) -> Result<i64, StoreError> {
        match self.0.next() {
            Some(Value::Integer(number)) => Ok(number),
            other => Err(unexpected("a number", other.as_ref())),
        }
    }

    /// Next value as an integer or NULL.
    ///
    /// # Errors
    /// A value of another type.
    pub fn optional_integer(&mut self) -> Result<Option<i64>, StoreError> {
        match self.0.next() {
            Some(Value::Integer(number)) => Ok(Some(number)),
            Some(Value::Null) => Ok(None),
            other => Err(unexpected("a number or none", other.as_ref())),
        }
    }

    /// Next value as a real number.
    ///
    /// # Errors
    /// A value of another type.
    pub fn real(&mut self) -> Result<f64, StoreError> {
        match self.0.next() {
            Some(Value::Real(number)) => Ok(number),
            other => Err(unexpected("a real number", other.as_ref())),
        }
    }

    /// Next value as bytes.
    ///
    /// # Errors
    /// A value of another type.
    pub fn blob(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.0.next() {
            Some(Value::Blob(bytes)) => Ok(bytes),
            other => Err(unexpected("bytes", other.as_ref())),
        }
    }
}

fn unexpected(wanted: &str, value: Option<&Value>) -> StoreError {
    let found = match value {
        None => "nothing",
        Some(Value::Null) => "none",
        Some(Value::Integer(_)) => "a number",
        Some(Value::Real(_)) => "a real number",
        Some(Value::Text(_)) => "a text",
        Some(Value::Blob(_)) => "bytes",
    };
    StoreError::Failed(format!("a row has {found} where {wanted} belongs"))
}
