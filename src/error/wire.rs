//! OpenAI's error object.

use serde::Serialize;

use super::Error;

/// OpenAI's error object in its envelope. All four fields are always there, `null` where there is nothing to say.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    error: ErrorFields<'a>,
}

#[derive(Debug, Serialize)]
struct ErrorFields<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Error {
    /// The error object that OpenAI's clients read.
    pub fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            error: ErrorFields { message: &self.message, r#type: self.kind, param: self.param, code: self.code },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_all_four_fields() {
        assert_eq!(
            serde_json::to_string(&Error::missing("prompt").body()).unwrap(),
            concat!(
                r#"{"error":{"message":"Missing required parameter: 'prompt'.","type":"invalid_request_error","#,
                r#""param":"prompt","code":"missing_required_parameter"}}"#,
            )
        );
        assert_eq!(serde_json::to_value(Error::no_key().body()).unwrap()["error"]["code"], serde_json::Value::Null);
    }
}
