//! One request in, one response out: the route table.

mod chat;
mod history;
mod idempotency;
mod images;
mod log;
mod path;
mod read;
mod responses;
mod spaces;
mod tasks;

use std::cell::OnceCell;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use url::Url;

use self::path::{Route, Target};
use crate::catalog::Model;
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::gradio::client::Client;
use crate::history::History;
use crate::http::auth::{Caller, authenticate};
use crate::http::cors::Cors;
use crate::http::reply::{self, insert, json};
use crate::idempotency::flight::Flights;
use crate::idempotency::outcome::Outcome;
use crate::limits::jobs::Jobs;
use crate::limits::rate::Rates;
use crate::media::keyring::Keyring;
use crate::media::link::{Links, Signer};
use crate::media::route;
use crate::openai::making::{Updates, Workshop};
use crate::openai::models;
use crate::openai::params::ImageRequest;
use crate::platform::{Body, Content, Host, random_hex};
use crate::settings::Settings;
use crate::store::Store;
use crate::store::lease::Leases;
use crate::store::sweep::Sweeper;
use crate::tasks::supervisor::{TaskSupervisor, Tools};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
/// Set by Spin and by the bundled host: the URL that the client asked for.
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");

/// The component, but for its edges: what the requests of an instance share.
pub struct App {
    host: Host,
    settings: Settings,
    /// What all instances share.
    store: Store,
    sweeper: Rc<Sweeper>,
    dispatcher: Rc<Dispatcher>,
    client: Client,
    rates: Rates,
    jobs: Jobs,
    flights: Rc<Flights>,
    history: Rc<History>,
    keyring: Rc<Keyring>,
    tasks: Rc<TaskSupervisor>,
    /// When the settings were read, in seconds since the Unix epoch.
    started: u64,
    /// Whether the settings' problems have been told.
    told: OnceCell<()>,
}

/// A request, as handlers see it.
struct Call {
    head: http::request::Parts,
    caller: Caller,
    /// Its id, which the answer and the log name.
    id: String,
    /// The model that its path names.
    deployment: Option<String>,
    /// What becomes of its images.
    outcome: Outcome,
}

impl Call {
    /// Query string.
    fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}

impl App {
    /// Reads the settings and makes the component of them.
    pub async fn load(host: Host) -> Self {
        let settings = Settings::load(&host).await;
        Self::new(host, settings)
    }

    fn new(host: Host, settings: Settings) -> Self {
        let client = Client::new(Rc::clone(&host), settings.limits);
        let log = log::aside(&host);
        let store = Store::new(&host, settings.database.clone(), &log);
        let leases = Leases::new(&store);
        let signer = settings.link_secret.as_ref().and_then(|secret| Signer::new(secret.bytes()));
        let keyring = Rc::new(Keyring::new(&store, signer));
        let policy = settings.policy.clone();
        let dispatcher = Rc::new(Dispatcher::new(client.clone(), policy, &settings.catalog, &leases));
        let jobs = Jobs::new(&leases, settings.jobs_per_key);
        let history = History::new(&store, settings.history);
        let tools = Tools {
            store: store.clone(),
            leases,
            dispatcher: Rc::clone(&dispatcher),
            catalog: settings.catalog.clone(),
            keyring: Rc::clone(&keyring),
            history: Rc::clone(&history),
            max_image_bytes: settings.max_image_bytes,
            link_ttl: settings.link_ttl,
            reveal_spaces: settings.reveal_spaces,
            log: Rc::clone(&log),
        };
        let tasks = Rc::new(TaskSupervisor::new(settings.tasks.clone(), tools));
        Self {
            dispatcher,
            history,
            keyring,
            tasks,
            started: host.unix_time().as_secs(),
            rates: Rates::new(&store, settings.requests_per_minute),
            jobs,
            flights: Flights::new(&store, settings.idempotency_ttl),
            sweeper: Sweeper::new(&store),
            store,
            host,
            settings,
            client,
            told: OnceCell::new(),
        }
    }

    /// Answers a request. It always does: an error is an answer too.
    pub async fn handle(self: &Rc<Self>, request: Request<Body>) -> Response<Content> {
        let begun = self.host.now();
        let id = format!("req_{}", random_hex::<12>(&self.host));
        self.log_problems();
        let (head, body) = request.into_parts();
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let cors = Cors::of(&self.settings.cors_origins, &head.headers);
        let mut standing = HeaderMap::new();
        let mut response = if method == Method::OPTIONS {
            cors.preflight()
        } else {
            self.route(head, body, &id, &mut standing).await.unwrap_or_else(|error| {
                self.log_error(&id, method.as_str(), &path, &error);
                reply::error(&error)
            })
        };
        if method == Method::HEAD {
            *response.body_mut() = Content::Empty;
        }
        let took = self.host.now().saturating_sub(begun).as_millis();
        let headers = response.headers_mut();
        headers.extend(standing);
        cors.apply(headers);
        insert(headers, REQUEST_ID, &id);
        insert(headers, PROCESSING_MS, &took.to_string());
        reply::add_total_timing(headers, took);
        response
    }

    /// Answers a request, and tells in `standing` how its caller stands.
    async fn route(
        self: &Rc<Self>,
        head: http::request::Parts,
        body: Body,
        id: &str,
        standing: &mut HeaderMap,
    ) -> Result<Response<Content>, Error> {
        let path = head.uri.path().to_owned();
        let Target { route, deployment } = Target::of(&path);
        let takes = match route {
            Route::Generations | Route::Edits | Route::Variations | Route::Chat | Route::Responses => "POST",
            Route::Health | Route::Ready | Route::Spaces | Route::Models | Route::Model(_) | Route::File(_) => {
                "GET, HEAD"
            }
            Route::Tasks | Route::TaskEvents(_) | Route::Images => "GET, HEAD",
            Route::Task(_) => "GET, HEAD, DELETE",
            Route::Image(_) => "DELETE",
            Route::Tick => "GET, HEAD, POST",
            Route::Unknown => return Err(Error::unknown_path(&head.method, &path)),
        };
        if !takes.split(", ").any(|method| method == head.method.as_str()) {
            return Err(Error::wrong_method(&head.method, takes));
        }
        // An image link is a permission by itself.
        let caller = match route {
            Route::Health | Route::Ready | Route::File(_) => None,
            _ => Some(authenticate(&self.settings.auth, &head.headers)?),
        };
        if let Some(caller) = &caller
            && let Some(found) = self.rates.standing(caller.id(), route.makes_images()).await
        {
            found.write_headers(standing);
            if let Some(wait) = found.refused {
                return Err(Error::too_many_requests(found.limit, wait));
            }
        }
        if caller.is_some() {
            self.tasks.look_if_due();
            self.sweeper.sweep_if_due();
        }
        match (route, caller) {
            (Route::Health, _) => json(&serde_json::json!({"status": "ok"})),
            (Route::File(name), _) => {
                let limit = self.settings.max_image_bytes;
                let http::request::Parts { method, headers, .. } = &head;
                route::serve(&self.client, &self.keyring, &self.settings.catalog, limit, name, method, headers).await
            }
            (Route::Ready, _) => self.ready().await,
            (Route::Spaces, _) => self.spaces().await,
            (Route::Models, _) => json(&models::list(&self.settings, self.started)),
            (Route::Model(id), _) => {
                let model = models::named(&self.settings, id)?;
                json(&models::details(&self.dispatcher, model, self.started, self.settings.reveal_spaces).await)
            }
            (route, Some(caller)) => {
                let call = Call { head, caller, id: id.to_owned(), deployment, outcome: Outcome::default() };
                match route {
                    Route::Tasks => self.list_tasks(&call).await,
                    Route::Task(id) if call.head.method == Method::DELETE => self.delete_task(&call, id).await,
                    Route::Task(id) => self.read_task(&call, id).await,
                    Route::TaskEvents(id) => self.task_events(&call, id).await,
                    Route::Images => self.list_images(&call).await,
                    Route::Image(id) => self.forget_image(&call, id).await,
                    Route::Tick => self.tick().await,
                    route => self.answer_once(route, call, body).await,
                }
            }
            (_, None) => Err(Error::unknown_path(&head.method, &path)),
        }
    }

    /// Answers a request for images.
    fn make_images<'a>(
        self: &'a Rc<Self>,
        route: Route<'a>,
        call: Call,
        body: Body,
    ) -> LocalBoxFuture<'a, Result<Response<Content>, Error>> {
        Box::pin(async move {
            match route {
                Route::Generations => self.generate(call, body).await,
                Route::Edits => self.edit(call, body).await,
                Route::Variations => self.vary(call, body).await,
                Route::Chat => self.chat(call, body).await,
                Route::Responses => self.respond(call, body).await,
                Route::Health
                | Route::Ready
                | Route::Spaces
                | Route::Models
                | Route::Model(_)
                | Route::File(_)
                | Route::Tasks
                | Route::Task(_)
                | Route::TaskEvents(_)
                | Route::Images
                | Route::Image(_)
                | Route::Tick
                | Route::Unknown => Err(Error::unknown_path(&call.head.method, call.head.uri.path())),
            }
        })
    }

    /// What making images for a call takes. Where links are wanted, there must be something to sign them with.
    async fn workshop(self: &Rc<Self>, call: &Call, with_links: bool) -> Result<Workshop, Error> {
        // Before any work is done: without a secret there would be images and no way to them.
        let signer = if with_links { Some(self.signer().await?) } else { None };
        let expires = self.host.unix_time().saturating_add(self.settings.link_ttl).as_secs();
        let (this, id, method) = (Rc::clone(self), call.id.clone(), call.head.method.clone());
        let path = call.head.uri.path().to_owned();
        Ok(Workshop {
            dispatcher: Rc::clone(&self.dispatcher),
            max_image_bytes: self.settings.max_image_bytes,
            reveal_spaces: self.settings.reveal_spaces,
            links: Links { signer, base: self.public_url(&call.head), expires },
            caller: Rc::from(call.caller.id()),
            jobs: self.jobs.of(call.caller.id()),
            outcome: call.outcome.clone(),
            log: Rc::new(move |error| this.log_error(&id, method.as_str(), &path, error)),
        })
    }

    /// Makes the images of a call, and remembers them.
    async fn updates(
        &self,
        call: &Call,
        workshop: &Workshop,
        model: &Model,
        request: ImageRequest,
    ) -> Result<Updates, Error> {
        let recorder = self.history.recorder(call.caller.id(), model, &request);
        let updates = workshop.make(model, request).await?;
        Ok(match recorder {
            Some(recorder) => recorder.follow(updates),
            None => updates,
        })
    }

    /// What signs image links.
    async fn signer(&self) -> Result<Signer, Error> {
        self.keyring.signer().await
    }

    /// Where the client reaches the component: the variable `public_url`, or the origin of the URL that it asked for, as
    /// the host tells it. A client that lies about its `Host` gets links that lead it there, and nobody else.
    fn public_url(&self, head: &http::request::Parts) -> String {
        if let Some(url) = &self.settings.public_url {
            return url.clone();
        }
        let header = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let asked = header(FULL_URL).map(str::to_owned).or_else(|| {
            let scheme = head.uri.scheme_str().unwrap_or("http");
            let authority = head.uri.authority().map(http::uri::Authority::as_str).or_else(|| header(HOST))?;
            Some(format!("{scheme}://{authority}/"))
        });
        let origin = asked.and_then(|url| Url::parse(&url).ok()).map(|url| url.origin()).filter(url::Origin::is_tuple);
        // Without any, a path is still a link for whoever knows where it came from.
        origin.map_or_else(String::new, |origin| origin.ascii_serialization())
    }
}

#[cfg(test)]
mod tests;
