//! The edge to Spin.

use std::borrow::Cow;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use spin_sdk::http::Request;

use crate::answer;
use crate::files::FILES;

#[spin_sdk::http_service]
async fn handle(request: Request) -> Response<Full<Bytes>> {
    answer(FILES, request.method(), request.uri().path(), request.headers()).map(|body| {
        Full::new(match body {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        })
    })
}
