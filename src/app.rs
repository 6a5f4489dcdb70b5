//! One request in, one response out: the route table.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde::Serialize;
use url::Url;

use crate::dispatch::Dispatcher;
use crate::error::{Error, Retry};
use crate::format::{Format, Wanted};
use crate::gradio::client::Client;
use crate::gradio::file::RemoteFile;
use crate::media::image::fetch;
use crate::media::link::Signer;
use crate::media::route;
use crate::openai::auth::authenticate;
use crate::openai::body::JsonBody;
use crate::openai::edits::{self, EditRequest, Source};
use crate::openai::params::{ImageRequest, ResponseFormat};
use crate::openai::{images, models};
use crate::platform::{Body, Content, Outside, ReadError, random_hex, read_to_end, timeout};
use crate::settings::Settings;

/// The longest body of a request that is read, in bytes.
const MAX_BODY: usize = 1 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a body with images may take to arrive.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// The request's fields that changed nothing, separated by commas. A name that no header can hold makes it absent.
const IGNORED: HeaderName = HeaderName::from_static("x-ignored-parameters");
/// Set by Spin and by the bundled host: the URL that the client asked for.
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The component, but for its edges: what the requests of an instance share.
pub struct App {
    outside: Outside,
    settings: Settings,
    dispatcher: Rc<Dispatcher>,
    client: Client,
    signer: RefCell<Option<Signer>>,
    /// When the settings were read, in seconds since the Unix epoch.
    started: u64,
    /// Whether the settings' problems have been told.
    told: OnceCell<()>,
}

/// A line of the log, as JSON, so that nothing in it can break out of its place.
#[derive(Serialize)]
struct LogLine<'a> {
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl App {
    /// Reads the settings and makes the component of them.
    pub async fn load(outside: Outside) -> Self {
        let settings = Settings::load(&outside).await;
        let client = Client::new(Rc::clone(&outside), settings.limits);
        let signer = settings.link_secret.as_ref().and_then(|secret| Signer::new(secret.bytes()));
        Self {
            dispatcher: Rc::new(Dispatcher::new(client.clone())),
            started: outside.unix_time().as_secs(),
            outside,
            settings,
            client,
            signer: RefCell::new(signer),
            told: OnceCell::new(),
        }
    }

    /// Answers a request. It always does: an error is an answer too.
    pub async fn handle(&self, request: Request<Body>) -> Response<Content> {
        let begun = self.outside.now();
        let request_id = format!("req_{}", random_hex::<12>(&self.outside));
        self.tell_problems();
        let (head, body) = request.into_parts();
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let mut response = match self.route(head, body).await {
            Ok(response) => response,
            Err(error) => {
                self.log_error(&request_id, &method, &path, &error);
                error_response(&error)
            }
        };
        if method == Method::HEAD {
            *response.body_mut() = Content::Empty;
        }
        let took = self.outside.now().saturating_sub(begun).as_millis();
        let headers = response.headers_mut();
        insert(headers, REQUEST_ID, &request_id);
        insert(headers, PROCESSING_MS, &took.to_string());
        response
    }

    async fn route(&self, head: http::request::Parts, body: Body) -> Result<Response<Content>, Error> {
        let path = head.uri.path();
        let (is_get, is_post) = (matches!(head.method, Method::GET | Method::HEAD), head.method == Method::POST);
        let allowed = |does: bool, allow| if does { Ok(()) } else { Err(Error::wrong_method(&head.method, allow)) };
        if let Some(name) = path.strip_prefix(route::PATH) {
            allowed(is_get, "GET, HEAD")?;
            let (signer, limit) = (self.signer().await?, self.settings.max_image_bytes);
            return route::serve(
                &self.client,
                &signer,
                &self.settings.catalog,
                limit,
                name,
                &head.method,
                &head.headers,
            )
            .await;
        }
        match path {
            "/healthz" => {
                allowed(is_get, "GET, HEAD")?;
                json(&serde_json::json!({"status": "ok"}))
            }
            "/v1/images/generations" => {
                allowed(is_post, "POST")?;
                authenticate(&self.settings.auth, &head.headers)?;
                self.generate(&head, body).await
            }
            "/v1/images/edits" => {
                allowed(is_post, "POST")?;
                authenticate(&self.settings.auth, &head.headers)?;
                self.edit(&head, body).await
            }
            "/v1/models" => {
                allowed(is_get, "GET, HEAD")?;
                authenticate(&self.settings.auth, &head.headers)?;
                json(&models::list(&self.settings, self.started))
            }
            _ => match path.strip_prefix("/v1/models/") {
                Some(id) => {
                    allowed(is_get, "GET, HEAD")?;
                    authenticate(&self.settings.auth, &head.headers)?;
                    let model = models::named(&self.settings, id)?;
                    json(&models::details(&self.dispatcher, model, self.started).await)
                }
                None => Err(Error::unknown_path(&head.method, path)),
            },
        }
    }

    async fn generate(&self, head: &http::request::Parts, body: Body) -> Result<Response<Content>, Error> {
        expect_json(&head.headers, "application/json")?;
        let body = self.read(&head.headers, body, MAX_BODY, BODY_TIMEOUT).await?;
        let request = ImageRequest::parse(&body, &self.outside)?;
        drop(body);
        self.make(head, request).await
    }

    async fn edit(&self, head: &http::request::Parts, body: Body) -> Result<Response<Content>, Error> {
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut request = match multer::parse_boundary(content_type) {
            Ok(boundary) => {
                refuse_large(&head.headers, edits::MAX_BODY)?;
                let form = EditRequest::read_form(body, boundary, self.settings.max_image_bytes);
                timeout(&self.outside, UPLOAD_TIMEOUT, form).await.map_err(|_| Error::body_stalled())??
            }
            Err(_) => {
                expect_json(&head.headers, "multipart/form-data or application/json")?;
                let body = self.read(&head.headers, body, edits::MAX_BODY, UPLOAD_TIMEOUT).await?;
                EditRequest::read_json(&body)?
            }
        };
        for source in request.sources() {
            if let Source::Url(url) = source
                && let Some(bytes) = self.own_image(url).await?
            {
                *source = Source::Bytes(bytes);
            }
        }
        let request = request.finish(&self.outside)?;
        self.make(head, request).await
    }

    /// The image behind a URL, where that is one of this server's own links.
    async fn own_image(&self, url: &str) -> Result<Option<Bytes>, Error> {
        let Some((_, name)) = url.split_once(route::PATH) else { return Ok(None) };
        let signer = self.signer().await?;
        let link = route::resolve(&self.client, &signer, &self.settings.catalog, name)?;
        let client = route::client_for(&self.client, &self.settings.catalog, &link);
        let (_, bytes) = fetch(&client, &link.file, self.settings.max_image_bytes).await?;
        Ok(Some(bytes))
    }

    /// Makes the images that a request asks for, and answers them.
    async fn make(&self, head: &http::request::Parts, request: ImageRequest) -> Result<Response<Content>, Error> {
        let model = models::find(&self.settings, request.model.as_deref())?;
        // Before any work is done: without a secret there would be images and no way to them.
        let signer = match request.format {
            ResponseFormat::Url => Some(self.signer().await?),
            ResponseFormat::Base64 => None,
        };
        let base = self.public_url(head);
        let link = |file: &RemoteFile, wanted: Option<Wanted>| {
            let expires = self.outside.unix_time().saturating_add(self.settings.link_ttl).as_secs();
            let token = signer.as_ref().map(|signer| signer.sign(file, wanted, expires)).unwrap_or_default();
            let format = wanted.map(|wanted| wanted.format).or_else(|| Format::of_name(&file.path));
            let extension = format.map_or("png", Format::name);
            format!("{base}{}{token}.{extension}", route::PATH)
        };
        let context = images::Context {
            dispatcher: Rc::clone(&self.dispatcher),
            max_image_bytes: self.settings.max_image_bytes,
            link: &link,
        };
        let answer = images::generate(context, model, request).await?;
        let mut response = json_body(answer.body);
        if !answer.ignored.is_empty() {
            insert(response.headers_mut(), IGNORED, &answer.ignored.join(", "));
        }
        Ok(response)
    }

    /// The body of a request, of `limit` bytes at most.
    async fn read(&self, headers: &HeaderMap, body: Body, limit: usize, time: Duration) -> Result<Bytes, Error> {
        refuse_large(headers, limit)?;
        match timeout(&self.outside, time, read_to_end(body, limit)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(ReadError::TooLarge)) => Err(Error::body_too_large(limit)),
            Ok(Err(ReadError::Transport(_))) | Err(_) => Err(Error::body_stalled()),
        }
    }

    /// What signs image links: the configured secret, or the one in the key-value store.
    async fn signer(&self) -> Result<Signer, Error> {
        if let Some(signer) = &*self.signer.borrow() {
            return Ok(signer.clone());
        }
        let no_secret = |why: String| {
            Error::internal(
                "Image links can't be signed: the key-value store fails. Set the variable link_secret, or ask for b64_json.",
                why,
            )
        };
        let secret = Signer::stored_secret(&self.outside).await.map_err(|error| no_secret(error.to_string()))?;
        let signer = Signer::new(&secret).ok_or_else(|| no_secret("the stored secret is unusable".to_owned()))?;
        *self.signer.borrow_mut() = Some(signer.clone());
        Ok(signer)
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

    fn tell_problems(&self) {
        if self.told.set(()).is_ok() {
            for problem in &self.settings.problems {
                self.log(&LogLine {
                    level: "warn",
                    request_id: None,
                    method: None,
                    path: None,
                    status: None,
                    message: problem,
                    detail: None,
                });
            }
        }
    }

    fn log_error(&self, request_id: &str, method: &Method, path: &str, error: &Error) {
        let path: String = if path.starts_with(route::PATH) {
            // A token is a permission, and none of the log's business.
            route::PATH.to_owned()
        } else {
            path.chars().take(200).collect()
        };
        self.log(&LogLine {
            level: if error.status.is_server_error() { "error" } else { "info" },
            request_id: Some(request_id),
            method: Some(method.as_str()),
            path: Some(&path),
            status: Some(error.status.as_u16()),
            message: &error.message,
            detail: error.detail.as_deref(),
        });
    }

    fn log(&self, line: &LogLine<'_>) {
        if let Ok(line) = serde_json::to_string(line) {
            self.outside.log(&line);
        }
    }
}

/// Refuses a body that says that it is something else. One that says nothing is taken for JSON.
fn expect_json(headers: &HeaderMap, expected: &'static str) -> Result<(), Error> {
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let media_type = media_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match media_type {
        Some(name) if name != "application/json" && !name.ends_with("+json") => {
            Err(Error::wrong_content_type(expected))
        }
        _ => Ok(()),
    }
}

/// Refuses a body that is announced as larger than `limit`, before it has come.
fn refuse_large(headers: &HeaderMap, limit: usize) -> Result<(), Error> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) { Err(Error::body_too_large(limit)) } else { Ok(()) }
}

fn json(value: &impl Serialize) -> Result<Response<Content>, Error> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::internal("The answer could not be written.", error.to_string()))?;
    Ok(full_json(StatusCode::OK, text))
}

fn full_json(status: StatusCode, text: Vec<u8>) -> Response<Content> {
    let mut response = Response::new(Content::Empty);
    *response.status_mut() = status;
    json_headers(response.headers_mut(), text.len());
    *response.body_mut() = Content::Full(Bytes::from(text));
    response
}

fn json_body(body: JsonBody) -> Response<Content> {
    let mut response = Response::new(Content::Empty);
    json_headers(response.headers_mut(), body.len());
    *response.body_mut() = body.into_content();
    response
}

fn json_headers(headers: &mut HeaderMap, length: usize) {
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, NO_STORE);
}

fn error_response(error: &Error) -> Response<Content> {
    let text = serde_json::to_vec(&error.body()).unwrap_or_default();
    let mut response = full_json(error.status, text);
    let headers = response.headers_mut();
    let again = matches!(error.retry, Retry::Soon | Retry::After(_));
    headers.insert(SHOULD_RETRY, HeaderValue::from_static(if again { "true" } else { "false" }));
    if let Retry::After(wait) | Retry::NotBefore(wait) = error.retry {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
    if let Some(allow) = error.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if error.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Inserts a value that is known to fit; one that doesn't is left out rather than fatal.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
