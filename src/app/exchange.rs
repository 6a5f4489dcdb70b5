//! A request that is being answered, and the server as its endpoint sees it.

use std::rc::Rc;

use futures::StreamExt as _;
use http::Response;
use serde_json::{Map, Value};

use super::log;
use super::state::App;
use crate::catalog::Model;
use crate::error::Error;
use crate::generation::ResponseFormat;
use crate::http::call::Call;
use crate::idempotency::outcome::Outcome;
use crate::limits::jobs::Permit;
use crate::media::link::Links;
use crate::media::stored::KeptImages;
use crate::observe::images;
use crate::observe::record::RequestRecord;
use crate::openai::image_request::ImageRequest;
use crate::openai::server::{ApiServer, Services, Started, WarningLog};
use crate::pipeline::{Pipeline, RunRequest, Update, Updates};
use crate::platform::Content;

/// A request that is being answered.
pub(super) struct Exchange {
    pub(super) app: Rc<App>,
    pub(super) call: Call,
    /// Outcome of its images.
    pub(super) outcome: Outcome,
    /// Record of the request, for its line in the log.
    pub(super) record: RequestRecord,
}

impl ApiServer for Exchange {
    fn call(&self) -> &Call {
        &self.call
    }

    fn services(&self) -> &Services {
        &self.app.services
    }

    async fn start(&self, model: &Model, request: ImageRequest) -> Result<Started, Error> {
        let (app, owner) = (&self.app, self.call.caller.id());
        self.record.set_images(model, &request.generation, app.observer.logs_prompts());
        // Before any work is done: without a secret there would be images and no way to them.
        let signer =
            if request.form() == ResponseFormat::Url { Some(app.services.keyring.signer().await?) } else { None };
        let expires = app.host.unix_time().saturating_add(app.settings.media.link_ttl).as_secs();
        let pipeline = Pipeline {
            dispatcher: Rc::clone(&app.services.dispatcher),
            converter: app.converter.clone(),
            max_image_bytes: app.settings.media.max_image_bytes,
            reveal_spaces: app.settings.reveal_spaces,
            links: Links { signer, base: self.call.base.as_str().into(), expires },
            kept: Some(KeptImages::new(&app.services.store, app.settings.media.link_ttl)),
            caller: Rc::from(owner),
            trace: self.record.trace(),
            watch: Some(images::of_request(&app.metrics, &self.record, model, request.generation.count)),
        };
        let kind = request.kind();
        let request = RunRequest::from(request);
        let recorder = app.history.recorder(owner, model, kind, &request);
        let permit = app.jobs.of(owner).take(request.generation.count).await?;
        let updates = counted(pipeline.run(model, request), permit, self.outcome.clone());
        let updates = match recorder {
            Some(recorder) => recorder.follow(updates),
            None => updates,
        };
        let (log, id, method) = (Rc::clone(&app.log), self.call.id.clone(), self.call.head.method.clone());
        let path = log::path(self.call.head.uri.path(), None);
        Ok(Started { updates, log: Rc::new(move |error| log::error(&log, &id, method.as_str(), &path, error)) })
    }

    async fn submit(
        &self,
        model: &Model,
        request: ImageRequest,
        fields: Map<String, Value>,
    ) -> Result<Response<Content>, Error> {
        self.record.set_images(model, &request.generation, self.app.observer.logs_prompts());
        self.app.tasks.accept(&self.call, model, request, fields).await
    }

    fn warnings(&self) -> WarningLog {
        let (log, id) = (Rc::clone(&self.app.log), self.call.id.clone());
        Rc::new(move |message, detail| log::warning(&log, &id, message, detail))
    }
}

/// The same updates, of which the outcome is noted, and after each image a part of the permit is given back.
fn counted(updates: Updates, mut permit: Permit, outcome: Outcome) -> Updates {
    let noted = updates.inspect(move |update| match update {
        Update::Made(_) => {
            outcome.made();
            permit.give_back_one();
        }
        Update::Failed(_, error) => {
            outcome.failed(error);
            permit.give_back_one();
        }
        _ => {}
    });
    noted.boxed_local()
}
