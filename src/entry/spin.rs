//! The edge to Spin, whose manifest leads the API's paths here.

use std::rc::Rc;

use http::{Request, Response};

use crate::app::App;
use crate::platform::spin::Spin;
use crate::platform::{Body, Content, Host};

/// The request, for the app: the host has answered all others.
pub(super) fn pass(request: Request<Body>) -> Result<Request<Body>, Response<Content>> {
    Ok(request)
}

/// Composes the application.
pub(super) async fn load() -> App {
    App::load(Rc::new(Spin::default()) as Host).await
}
