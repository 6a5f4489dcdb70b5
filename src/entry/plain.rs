//! The edge to a host that has WASI and nothing else: all paths lead here, so the studio is inside.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use z_image_fileserver::files::FILES;

use crate::app::{App, is_of_api};
use crate::platform::wasi::plain::PlainHost;
use crate::platform::{Body, Content, Host};
use crate::settings::Settings;

/// Consequences of the host's having no database, for the log.
const NO_DATABASE: &str = "There is no database on this host: slots of Spaces, limits and health are each \
                           instance's own, and there are no tasks and no history. Links need the variables \
                           link_secret and public_url.";
/// Beginning of the names of headers that Spin makes, and takes off where a client sends them.
const SPIN: &str = "spin-";

/// The request, for the app, or an answer of the studio's files.
pub(super) fn pass(mut request: Request<Body>) -> Result<Request<Body>, Response<Content>> {
    if is_of_api(request.uri().path()) {
        take_off_spins(request.headers_mut());
        return Ok(request);
    }
    let answer = z_image_fileserver::answer(FILES, request.method(), request.uri().path(), request.headers());
    Err(answer.map(|body| {
        Content::Full(match body {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        })
    }))
}

/// Composes the application.
pub(super) async fn load() -> App {
    let plain = Rc::new(PlainHost::default());
    let host = Rc::clone(&plain) as Host;
    let settings = Settings::load(&host).await;
    plain.allow(settings.allowed_origins());
    let app = App::new(host, settings);
    app.note(NO_DATABASE);
    app
}

/// Takes off the headers that mean something where Spin makes them: here they are a client's.
fn take_off_spins(headers: &mut HeaderMap) {
    let forged: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(SPIN)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}
