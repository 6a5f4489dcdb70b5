//! The component's export: WASI HTTP's handler (`wasi:http/handler@0.3`).

use std::cell::OnceCell;
use std::rc::Rc;

use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

use crate::app::App;
use crate::platform::Host;
use crate::platform::spin::{Spin, wake, wire};

thread_local! {
    /// State that the requests of an instance share: up to 16 at once.
    static APP: OnceCell<Rc<App>> = const { OnceCell::new() };
}

struct Export;

// Not the SDK's `http_service` macro, which converts requests in the way that `wire` says why to avoid.
spin_sdk::wasip3::http::service::export!(Export with_types_in spin_sdk::wasip3);

impl spin_sdk::wasip3::exports::http::handler::Guest for Export {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        wake::task(answer(request)).await
    }
}

async fn answer(request: Request) -> Result<Response, ErrorCode> {
    let app = match APP.with(|app| app.get().cloned()) {
        Some(app) => app,
        None => {
            // Several first requests may come here at once; one App of theirs is kept.
            let loaded = Rc::new(App::load(Rc::new(Spin::default()) as Host).await);
            APP.with(|app| Rc::clone(app.get_or_init(|| loaded)))
        }
    };
    let request = wire::request(request)?;
    wire::response(app.handle(request).await).await
}
