//! WASI HTTP 0.3 to and from the port's own types.
//!
//! The conversions of `wasip3` and of Spin's SDK are passed by for three reasons: they send an empty body with every
//! request, where none is meant; they set no time limits; and they end a broken body as if it were whole.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{once, unfold};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use types::ErrorCode;
use wasip3::http::{client, types};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};
use wasip3::{wit_future, wit_stream};

use super::wake::{nanoseconds, spawn};
use crate::platform::read_size::ReadSize;
use crate::platform::{Body, Content, Inbound, OnSent, Outbound, TransportError, content_length};

/// Length of the pieces of a body that is copied to be written, in bytes.
const SENT: usize = 64 << 10;

type Trailers = FutureReader<Result<Option<types::Trailers>, ErrorCode>>;

/// A client's request, for the app.
pub(crate) fn request(request: types::Request) -> Result<http::Request<Body>, ErrorCode> {
    let method = method(request.get_method())?;
    let path = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
    let mut uri = http::Uri::builder().path_and_query(path);
    if let (Some(scheme), Some(authority)) = (request.get_scheme(), request.get_authority()) {
        uri = match scheme {
            types::Scheme::Http => uri.scheme("http").authority(authority),
            types::Scheme::Https => uri.scheme("https").authority(authority),
            types::Scheme::Other(_) => uri,
        };
    }
    let uri = uri.build().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let headers = headers(request.get_headers());
    let length = content_length(&headers);
    // Most requests have no body, or none that is read: it costs nothing then.
    let opened = once(async move {
        let (done, on_done) = wit_future::new(|| Ok(()));
        let (stream, trailers) = types::Request::consume_body(request, on_done);
        drop(done);
        body(stream, trailers, length)
    });
    let mut request = http::Request::new(opened.flatten().boxed_local());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The app's answer, for the host.
pub(crate) async fn response(response: http::Response<Content>) -> Result<types::Response, ErrorCode> {
    let (head, content) = response.into_parts();
    let fields = fields(&head.headers)?;
    let (trailers, on_trailers) = wit_future::new(|| Ok(None));
    let reader = match content {
        Content::Empty => None,
        Content::Full(bytes) => {
            let (mut writer, reader) = wit_stream::new();
            begin(async move {
                write_known(&mut writer, bytes, || {}).await;
                drop(writer);
                drop(trailers);
            })
            .await;
            Some(reader)
        }
        Content::Stream(mut body) => {
            let (mut writer, reader) = wit_stream::new();
            begin(async move {
                while let Some(piece) = body.next().await {
                    match piece {
                        Ok(piece) => {
                            // Without a copy, where nobody else has the piece.
                            let unwanted = writer.write_all(Vec::from(piece)).await;
                            if !unwanted.is_empty() {
                                break;
                            }
                        }
                        Err(error) => {
                            // The host cuts the connection, so that nobody takes the rest for the whole.
                            let error = ErrorCode::InternalError(Some(error.to_string()));
                            let _ = trailers.write(Err(error)).await;
                            return;
                        }
                    }
                }
            })
            .await;
            Some(reader)
        }
    };
    let (response, _transmitted) = types::Response::new(fields, reader, on_trailers);
    response.set_status_code(head.status.as_u16()).map_err(|()| ErrorCode::InternalError(None))?;
    Ok(response)
}

/// Sends a request to a Space.
pub(super) async fn send(outbound: Outbound) -> Result<Inbound, TransportError> {
    let mut head = outbound.headers;
    if let Some(body) = &outbound.body {
        head.insert(http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let fields = fields(&head).map_err(transport_error)?;
    let options = types::RequestOptions::new();
    // A host that knows no time limits of its own is held to the port's.
    let _ = options.set_connect_timeout(Some(nanoseconds(outbound.connect_timeout)));
    let _ = options.set_first_byte_timeout(Some(nanoseconds(outbound.head_timeout)));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds(outbound.read_timeout)));
    let (no_trailers, on_trailers) = wit_future::new(|| Ok(None));
    let contents = match outbound.body {
        Some(body) => {
            let (mut writer, reader) = wit_stream::new();
            let on_sent = outbound.on_sent;
            begin(async move {
                let sent = || {
                    if let Some(OnSent(sent)) = &on_sent {
                        sent();
                    }
                };
                write_known(&mut writer, body, sent).await;
                drop(writer);
                drop(no_trailers);
            })
            .await;
            Some(reader)
        }
        None => None,
    };
    let (request, _transmitted) = types::Request::new(fields, contents, on_trailers, Some(options));
    let url = &outbound.url;
    let scheme = if url.scheme() == "http" { types::Scheme::Http } else { types::Scheme::Https };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let refused = |()| TransportError::Broken("the host refuses the request's form".to_owned());
    request.set_method(&wasi_method(&outbound.method)).map_err(refused)?;
    request.set_scheme(Some(&scheme)).map_err(refused)?;
    request.set_authority(Some(url.authority())).map_err(refused)?;
    request.set_path_with_query(Some(&path)).map_err(refused)?;

    let response = client::send(request).await.map_err(transport_error)?;
    let status = StatusCode::from_u16(response.get_status_code())
        .map_err(|_| TransportError::Broken("the answer's status is out of range".to_owned()))?;
    let headers = headers(response.get_headers());
    let (done, on_done) = wit_future::new(|| Ok(()));
    let (stream, trailers) = types::Response::consume_body(response, on_done);
    drop(done);
    let body = body(stream, trailers, content_length(&headers));
    Ok(Inbound { status, headers, body })
}

/// Begins to write a body, and lets the rest be written beside what runs.
///
/// Its beginning is offered before the host gets the head, so that both leave together: a host that sets no
/// TCP_NODELAY would let the body wait for the acknowledgement of the head, 40 ms.
async fn begin(write: impl Future<Output = ()> + 'static) {
    let mut write = Box::pin(write);
    if futures::poll!(write.as_mut()).is_pending() {
        spawn(write);
    }
}

/// Writes all of `bytes`, until they are not wanted any more: the reader has gone away then. Calls `sent` whenever some
/// are taken.
///
/// Bytes that nobody else has are written from where they are; of others, no more than a piece is copied at a time.
async fn write_known(writer: &mut StreamWriter<u8>, mut bytes: Bytes, sent: impl Fn()) {
    while !bytes.is_empty() {
        let piece = if bytes.is_unique() { std::mem::take(&mut bytes) } else { bytes.split_to(SENT.min(bytes.len())) };
        let (mut result, mut rest) = writer.write(Vec::from(piece)).await;
        while result != StreamResult::Dropped {
            sent();
            if rest.remaining() == 0 {
                break;
            }
            (result, rest) = writer.write_buf(rest).await;
        }
        if result == StreamResult::Dropped {
            return;
        }
    }
}

/// A body as it arrives, of a `length` that its head may have said: its pieces, and an error where it broke off.
fn body(stream: StreamReader<u8>, trailers: Trailers, length: Option<u64>) -> Body {
    Box::pin(unfold(
        Some((stream, trailers, ReadSize::of(length.and_then(|length| usize::try_from(length).ok())), Vec::new())),
        async |state| {
            let (mut stream, trailers, mut size, mut buffer) = state?;
            loop {
                if buffer.capacity() == 0 {
                    buffer.reserve_exact(size.next());
                }
                let result;
                (result, buffer) = stream.read(buffer).await;
                match result {
                    StreamResult::Complete(_) if buffer.is_empty() => {}
                    StreamResult::Complete(_) => {
                        size.took(buffer.len(), buffer.capacity());
                        // A small piece leaves the buffer to the next one; a large one takes it along.
                        let piece = if buffer.len() <= buffer.capacity() / 4 {
                            let piece = Bytes::copy_from_slice(&buffer);
                            buffer.clear();
                            piece
                        } else {
                            Bytes::from(std::mem::take(&mut buffer))
                        };
                        return Some((Ok(piece), Some((stream, trailers, size, buffer))));
                    }
                    StreamResult::Cancelled | StreamResult::Dropped => {
                        return match trailers.await {
                            Ok(_) => None,
                            Err(error) => Some((Err(transport_error(error)), None)),
                        };
                    }
                }
            }
        },
    ))
}

fn method(method: types::Method) -> Result<Method, ErrorCode> {
    Ok(match method {
        types::Method::Get => Method::GET,
        types::Method::Head => Method::HEAD,
        types::Method::Post => Method::POST,
        types::Method::Put => Method::PUT,
        types::Method::Delete => Method::DELETE,
        types::Method::Connect => Method::CONNECT,
        types::Method::Options => Method::OPTIONS,
        types::Method::Trace => Method::TRACE,
        types::Method::Patch => Method::PATCH,
        types::Method::Other(name) => {
            Method::from_bytes(name.as_bytes()).map_err(|_| ErrorCode::HttpRequestMethodInvalid)?
        }
    })
}

fn wasi_method(method: &Method) -> types::Method {
    match *method {
        Method::GET => types::Method::Get,
        Method::POST => types::Method::Post,
        _ => types::Method::Other(method.as_str().to_owned()),
    }
}

fn headers(fields: types::Headers) -> HeaderMap {
    // A name or value that the `http` crate doesn't take is one that the app can't use.
    let field = |(name, value): (String, Vec<u8>)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?))
    };
    fields.copy_all().into_iter().filter_map(field).collect()
}

fn fields(headers: &HeaderMap) -> Result<types::Headers, ErrorCode> {
    let fields: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    types::Headers::from_list(&fields).map_err(|error| ErrorCode::InternalError(Some(error.to_string())))
}

fn transport_error(error: ErrorCode) -> TransportError {
    match error {
        ErrorCode::HttpRequestDenied => TransportError::Denied,
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => TransportError::TimedOut(error.to_string()),
        ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => TransportError::Unreachable(error.to_string()),
        _ => TransportError::Broken(error.to_string()),
    }
}
