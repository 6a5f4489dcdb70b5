//! The life of a request.

use std::rc::Rc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response};

use super::access::Access;
use super::exchange::Exchange;
use super::log;
use super::routes::{Route, find};
use super::state::App;
use crate::error::Error;
use crate::http::auth::{Auth, Caller, authenticate};
use crate::http::base_url::{base_url, forwarded_elsewhere};
use crate::http::call::Call;
use crate::http::cors::Cors;
use crate::http::page::refuse_foreign;
use crate::http::reply::{self, insert};
use crate::http::unread;
use crate::idempotency::outcome::Outcome;
use crate::observe::ending::Ending;
use crate::observe::record::RequestRecord;
use crate::platform::{Body, Content, random_hex};
use crate::trace_context::TraceContext;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");

impl App {
    /// Answers a request. It always does: an error is an answer too.
    pub async fn handle(self: &Rc<Self>, request: Request<Body>) -> Response<Content> {
        let begun = self.host.now();
        let id = format!("req_{}", random_hex::<12>(&self.host));
        if self.is_reported.set(()).is_ok() {
            log::problems(&self.log, &self.settings.problems);
        }
        let (head, body) = request.into_parts();
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let route = find(&path);
        let access = route.as_ref().map(|route| route.row.access);
        let observed = route.as_ref().map(|route| route.row.observed());
        let ending = self.observer.begin(&id, &method, observed);
        // What programs ask for all the time begins no traces.
        let may_begin = method != Method::OPTIONS && observed.is_some_and(|route| !route.is_quiet);
        ending.record().set_trace(TraceContext::of_request(&head.headers, &self.host, may_begin));
        let cors = Cors::of(&self.settings.cors_origins, &head.headers);
        let mut standing = HeaderMap::new();
        let mut response = if method == Method::OPTIONS {
            cors.preflight()
        } else {
            self.answer(route, head, body, ending.record(), &id, &mut standing).await.unwrap_or_else(|error| {
                log::error(&self.log, &id, method.as_str(), &log::path(&path, access), &error);
                reply::error(&error)
            })
        };
        if method == Method::HEAD {
            *response.body_mut() = Content::Empty;
        }
        ending.set_status(response.status());
        let mut response = response.map(|content| self.watched(content, ending, &id, &method, &path, access));
        let took = self.host.now().saturating_sub(begun).as_millis();
        let headers = response.headers_mut();
        headers.extend(standing);
        cors.apply(headers);
        insert(headers, REQUEST_ID, &id);
        insert(headers, PROCESSING_MS, &took.to_string());
        reply::add_total_timing(headers, took);
        response
    }

    /// The body of an answer, which is given up where its client doesn't read it, and whose end is that of the request.
    fn watched(
        &self,
        content: Content,
        ending: Ending,
        id: &str,
        method: &Method,
        path: &str,
        access: Option<Access>,
    ) -> Content {
        let body = match content {
            Content::Stream(body) => ending.follow(body),
            Content::Full(bytes) => {
                ending.complete(bytes.len());
                return Content::Full(bytes);
            }
            Content::Empty => {
                ending.complete(0);
                return Content::Empty;
            }
        };
        let (log, id, method) = (Rc::clone(&self.log), id.to_owned(), method.clone());
        let path = log::path(path, access);
        let on_unread = move || log::unread(&log, &id, method.as_str(), &path);
        Content::Stream(unread::watched(&self.host, body, on_unread))
    }

    /// Answers a request, and writes the caller's standing into the headers `standing`.
    async fn answer(
        self: &Rc<Self>,
        route: Option<Route<'_>>,
        head: Parts,
        body: Body,
        record: &RequestRecord,
        id: &str,
        standing: &mut HeaderMap,
    ) -> Result<Response<Content>, Error> {
        let Some(Route { row, parameter, deployment }) = route else {
            return Err(Error::unknown_path(&head.method, head.uri.path()));
        };
        if !row.methods.split(", ").any(|method| method == head.method.as_str()) {
            return Err(Error::wrong_method(&head.method, row.methods));
        }
        let caller = match row.access {
            Access::Key => self.admit(&head, row.makes_images, standing).await?,
            Access::Anyone | Access::Link => Caller::anonymous(),
        };
        record.set_key(caller.id());
        let base = base_url(self.settings.public_url.as_deref(), &head);
        if self.settings.public_url.is_none()
            && let Some(said) = forwarded_elsewhere(&base, &head)
        {
            self.misled.warn(&format!("{said} instead of {base}"));
        }
        let (id, parameter) = (id.to_owned(), parameter.to_owned());
        let call = Call { head, caller, id, parameter, body_limit: row.body_limit, deployment, base };
        let exchange = Exchange { app: Rc::clone(self), call, outcome: Outcome::default(), record: record.clone() };
        if row.makes_images { self.answer_once(row, exchange, body).await } else { (row.handler)(exchange, body).await }
    }

    /// Checks the key of a request and the rate of its caller.
    async fn admit(&self, head: &Parts, counts: bool, standing: &mut HeaderMap) -> Result<Caller, Error> {
        let caller = authenticate(&self.settings.auth, &head.headers)?;
        if matches!(self.settings.auth, Auth::Open) {
            refuse_foreign(&self.settings.cors_origins, self.settings.public_url.as_deref(), head)?;
        }
        if let Some(found) = self.rates.standing(caller.id(), counts).await {
            found.write_headers(standing);
            if let Some(wait) = found.refused {
                return Err(Error::too_many_requests(found.limit, wait));
            }
        }
        self.tasks.look_if_due();
        self.sweeper.sweep_if_due();
        Ok(caller)
    }
}
