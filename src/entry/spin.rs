//! The edge to Spin, whose manifest leads the API's paths here.

use std::rc::Rc;

use http::{Request, Response};

use super::app;
use crate::app::App;
use crate::platform::spin::Spin;
use crate::platform::{Body, Content, Host};

/// Answers a request.
pub(super) async fn answer(request: Request<Body>) -> Response<Content> {
    app(App::load(Rc::new(Spin::default()) as Host)).await.handle(request).await
}
