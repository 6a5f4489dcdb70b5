//! `GET /metrics`.

use http::Response;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use super::state::App;
use crate::error::Error;
use crate::http::auth::Auth;
use crate::http::call::Call;
use crate::http::page::refuse_foreign;
use crate::observe::metrics::access::MetricsAccess;
use crate::observe::metrics::family::{BREAKER, BUILD, DATABASE_UP, EXHAUSTED, IN_FLIGHT, SLOTS, TASKS, WAITING};
use crate::observe::metrics::labels::labels;
use crate::observe::metrics::text::{MetricsText, TextFormat};
use crate::platform::{Content, StoreError};

/// States of a breaker.
const STATES: [&str; 3] = ["closed", "half_open", "open"];

/// Figures of the service, for who may read them.
///
/// # Errors
/// 404 where there are none, 401 without the key, and 403 for a web page at a server that asks for no keys.
pub(super) async fn metrics(app: &App, call: &Call) -> Result<Response<Content>, Error> {
    let access = &app.settings.metrics;
    if !access.is_on() {
        return Err(Error::unknown_path(&call.head.method, call.head.uri.path()));
    }
    if !access.admits(&call.head.headers) {
        return Err(Error::no_metrics_key());
    }
    if matches!((access, &app.settings.auth), (MetricsAccess::Open, Auth::Open)) {
        refuse_foreign(&app.settings.cors_origins, app.settings.public_url.as_deref(), &call.head)?;
    }
    let format = TextFormat::accepted(call.head.headers.get(ACCEPT));
    let mut text = MetricsText::new(format);
    // Without the database there is nothing to say of the service, but that.
    let is_up = write(app, &mut text).await.is_ok();
    text.write_gauge(&DATABASE_UP, [(String::new(), f64::from(u8::from(is_up)))]);
    text.write_gauge(&BUILD, [(labels(&[("version", env!("CARGO_PKG_VERSION"))]), 1.0)]);
    let text = text.finish();
    let mut response = Response::new(Content::Empty);
    response.headers_mut().insert(CONTENT_TYPE, format.media_type());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Content::Full(text.into());
    Ok(response)
}

/// Writes what the database has.
async fn write(app: &App, text: &mut MetricsText) -> Result<(), StoreError> {
    let (catalog, dispatcher) = (&app.settings.catalog, &app.services.dispatcher);
    app.metrics.flush().await?;
    let stored = app.metrics.read().await?;
    let (waiting, tasks) = (dispatcher.waiting(catalog).await?, app.tasks.store.count().await?);
    let spaces = dispatcher.figures(catalog).await;
    text.write_stored(&stored);
    text.write_gauge(&WAITING, waiting.iter().map(|(model, count)| (labels(&[("model", model)]), number(*count))));
    let of_space = |space: &str| labels(&[("space", space)]);
    text.write_gauge(&IN_FLIGHT, spaces.iter().map(|one| (of_space(&one.space), number(one.in_flight))));
    text.write_gauge(&SLOTS, spaces.iter().map(|one| (of_space(&one.space), number(one.slots))));
    let breakers = spaces.iter().flat_map(|one| {
        let figure = |state| {
            let labels = labels(&[("space", &one.space), ("state", state)]);
            (labels, f64::from(u8::from(one.breaker == state)))
        };
        STATES.map(figure)
    });
    text.write_gauge(&BREAKER, breakers);
    let tokens = spaces.iter().flat_map(|one| {
        (1..).zip(&one.exhausted).map(|(token, is_exhausted): (u32, _)| {
            let labels = labels(&[("space", &one.space), ("token", &token.to_string())]);
            (labels, f64::from(u8::from(*is_exhausted)))
        })
    });
    text.write_gauge(&EXHAUSTED, tokens);
    text.write_gauge(&TASKS, tasks.into_iter().map(|(status, count)| (labels(&[("status", status)]), number(count))));
    Ok(())
}

fn number(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}
