//! The component's export: WASI HTTP's handler (`wasi:http/handler@0.3`).

#[cfg(feature = "wasi")]
mod plain;
#[cfg(feature = "spin")]
mod spin;

use std::cell::OnceCell;
use std::rc::Rc;

use wasip3::http::types::{ErrorCode, Request, Response};

#[cfg(feature = "wasi")]
use self::plain as edge;
#[cfg(feature = "spin")]
use self::spin as edge;
use crate::app::App;
use crate::platform::wasi::{wake, wire};

#[cfg(not(any(feature = "spin", feature = "wasi")))]
compile_error!("a component has an edge to its host: the feature `spin` or `wasi`");
#[cfg(all(feature = "spin", feature = "wasi"))]
compile_error!("a component has one edge to its host: the feature `wasi` goes with --no-default-features");

thread_local! {
    /// State that the requests of an instance share: up to 16 at once.
    static APP: OnceCell<Rc<App>> = const { OnceCell::new() };
}

struct Export;

// Not a macro of the SDK, which converts requests in the way that `wire` says why to avoid.
wasip3::http::service::export!(Export);

impl wasip3::exports::http::handler::Guest for Export {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        wake::task(answer(request)).await
    }
}

async fn answer(request: Request) -> Result<Response, ErrorCode> {
    let answer = match edge::pass(wire::request(request)?) {
        Ok(request) => app().await.handle(request).await,
        Err(answer) => answer,
    };
    wire::response(answer).await
}

async fn app() -> Rc<App> {
    if let Some(app) = APP.with(|app| app.get().cloned()) {
        return app;
    }
    // Several first requests may come here at once; one App of theirs is kept.
    let loaded = Rc::new(edge::load().await);
    APP.with(|app| Rc::clone(app.get_or_init(|| loaded)))
}
