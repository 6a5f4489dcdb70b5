//! Keys and records of idempotent requests.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use z_image_2api::idempotency::key::{Fingerprinting, HEADER, IdempotencyKey};
use z_image_2api::idempotency::stored_response::StoredResponse;

use super::check_error;
use crate::chance::Chance;

/// A record gives the response that was stored, whatever is in it no more than headers, and a request has one
/// fingerprint however it is cut.
pub fn idempotency(data: &[u8]) {
    let (head, body) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let head = String::from_utf8_lossy(head);
    let status = i64::from(body.get(1).copied().unwrap_or_default()) * 7 - 100;
    if let Some(read) = StoredResponse::of_row(status, &head, body.to_vec()) {
        assert!((100..1000).contains(&status));
        check_response(&read);
    }

    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(20) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    check_response(&StoredResponse::new(StatusCode::OK, &headers, Bytes::copy_from_slice(data)));

    for boundary in [None, Some("x"), Some("--")] {
        let fingerprint = |pieces: &[&[u8]]| {
            let mut taking = Fingerprinting::new([b"edits".as_slice()], boundary);
            pieces.iter().for_each(|piece| taking.take(piece));
            taking.finish()
        };
        assert_eq!(fingerprint(&[data]), fingerprint(&Chance::of(data).pieces(data)), "{boundary:?}");
    }

    if let Ok(value) = HeaderValue::from_bytes(data) {
        match IdempotencyKey::of(&HeaderMap::from_iter([(HEADER, value)]), "me", "images") {
            Ok(key) => assert!(key.is_some_and(|key| key.as_str().len() == 64)),
            Err(error) => check_error(&error),
        }
    }
}

/// Holds that a response is the same once it has been kept.
fn check_response(response: &StoredResponse) {
    let head = response.head().unwrap();
    let status = i64::from(response.status.as_u16());
    let read = StoredResponse::of_row(status, &head, response.body.to_vec()).expect("what is kept can be read");
    assert_eq!((read.status, &read.body), (response.status, &response.body));
    for (name, value) in &response.headers {
        let is_text = value.to_str().is_ok();
        assert!(!is_text || read.headers.get_all(name).iter().any(|kept| kept == value), "{name}: {value:?}");
    }
    let replayed = read.replayed();
    assert_eq!(replayed.headers().get("idempotency-replayed"), Some(&HeaderValue::from_static("true")));
}
