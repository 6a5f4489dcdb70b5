//! The form of a request as HTML has it without files (the URL standard, section 5).

use http::HeaderMap;
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::error::Error;
use crate::http::read::{self, BodyLimit};
use crate::platform::{Body, HeldBuffer, Host, ReadError, read_held, timeout};

/// Number of fields, at most. A form of 8 MiB may have millions, which take a hundred times its own memory.
const MAX_FIELDS: usize = 1000;

/// True for the media type of such a form.
pub(super) fn is_urlencoded(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Reads such a form. Names with `[]`, or that come several times, are lists.
///
/// # Errors
/// 400 where it has too many fields, 413 where it is larger than a text may be, 408 where it stalls, 503 where there is
/// no memory for it.
pub(super) async fn read_urlencoded(
    host: &Host,
    headers: &HeaderMap,
    body: Body,
    limit: BodyLimit,
) -> Result<Map<String, Value>, Error> {
    read::refuse_large(headers, BodyLimit { bytes: limit.text, ..limit })?;
    let read = async {
        // The text, and the fields in it.
        match read_held(host, body, limit.text, HeldBuffer::new(host, 2)).await {
            Ok(text) => fields(&text),
            Err(ReadError::TooLarge) => Err(Error::body_too_large(limit.text)),
            Err(ReadError::OutOfMemory(refused)) => Err(Error::out_of_memory(&refused)),
            Err(ReadError::Transport(_)) => Err(Error::body_stalled()),
        }
    };
    timeout(host, limit.time, read).await.map_err(|_| Error::body_stalled())?
}

fn fields(text: &[u8]) -> Result<Map<String, Value>, Error> {
    let mut fields = Map::new();
    for (number, (name, value)) in form_urlencoded::parse(text).enumerate() {
        if number >= MAX_FIELDS {
            return Err(Error::invalid_value("prompt", format!("A form has at most {MAX_FIELDS} fields.")));
        }
        let (name, is_list) = match name.split_once('[') {
            Some((name, index)) if index.ends_with(']') => (name, true),
            _ => (name.as_ref(), false),
        };
        let value = Value::from(value.into_owned());
        match fields.get_mut(name) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => {
                fields.insert(name.to_owned(), if is_list { Value::Array(vec![value]) } else { value });
            }
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_texts_and_lists_of_them() {
        let read = |text: &str| Value::Object(fields(text.as_bytes()).unwrap());
        assert_eq!(read("prompt=a+red%20fox&n=2&model="), json!({"prompt": "a red fox", "n": "2", "model": ""}));
        assert_eq!(read("image%5B%5D=x&image[1]=y&z=1&z=2"), json!({"image": ["x", "y"], "z": ["1", "2"]}));
        assert_eq!(read(""), json!({}));
        assert_eq!(fields("a&".repeat(2_000_000).as_bytes()).unwrap_err().status.as_u16(), 400);
    }
}
