//! What went wrong, as the client is told and as the log is told.
//!
//! The client gets OpenAI's error object and a status; both SDKs choose their exception by the status, and retry 408, 409, 429 and
//! 5xx twice unless `x-should-retry` says otherwise. A failure that a second try can't mend therefore says `false`: each
//! needless try would make the image again.
//!
//! Source: OpenAI's API reference ("Error codes") and both SDKs' retry rules.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use crate::gradio::failure::Failure;
use crate::gradio::stage::Stage;
use crate::platform::{StoreError, TransportError};

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: StatusCode,
    /// OpenAI's `type`: the family of the error.
    pub kind: &'static str,
    /// OpenAI's `code`: what machines tell errors by.
    pub code: Option<&'static str>,
    /// The request's parameter that is at fault.
    pub param: Option<&'static str>,
    /// What happened and what to do about it, for people.
    pub message: String,
    /// Whether asking again makes sense.
    pub retry: Retry,
    /// What the log is told beside the message.
    pub detail: Option<String>,
    /// The methods that the path takes, for a 405's `Allow`.
    pub allow: Option<&'static str>,
}

/// Whether asking again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No: the same would happen.
    Never,
    /// Yes, with the client's own pauses.
    Soon,
    /// Not before this time has gone by, and then by hand: too long for a program to wait.
    NotBefore(Duration),
    /// Yes, after this time.
    After(Duration),
}

/// OpenAI's `type` for a fault of the request.
const INVALID_REQUEST: &str = "invalid_request_error";
/// OpenAI's `type` for a fault behind the API.
const SERVER: &str = "server_error";

impl Error {
    fn new(status: StatusCode, kind: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, kind, code, param: None, message, retry: Retry::Never, detail: None, allow: None }
    }

    /// 400: `param` has a value that can't be.
    pub fn invalid_value(param: &'static str, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("invalid_value"), message);
        Self { param: Some(param), ..error }
    }

    /// 400: `param` must be there and isn't.
    pub fn missing(param: &'static str) -> Self {
        let message = format!("Missing required parameter: '{param}'.");
        let error = Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("missing_required_parameter"), message);
        Self { param: Some(param), ..error }
    }

    /// 400: the body is not what the route takes.
    pub fn bad_body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, None, message)
    }

    /// 401: no key came with the request.
    pub fn no_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            INVALID_REQUEST,
            None,
            "You didn't provide an API key. Send it as `Authorization: Bearer KEY` (or in the header api-key or x-api-key).",
        )
    }

    /// 401: the key is none of ours.
    pub fn wrong_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            INVALID_REQUEST,
            Some("invalid_api_key"),
            "Incorrect API key provided. Use one of the keys in this server's variable api_keys.",
        )
    }

    /// 401: there is no key to compare with, so nobody is let in.
    pub fn no_key_configured() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            INVALID_REQUEST,
            None,
            "This server has no API key yet. Its operator must set the variable api_keys (comma-separated), or auth to \"open\" to let everybody in.",
        )
    }

    /// 404: no such model. `known` are those that there are.
    pub fn model_not_found<'a>(model: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let model: String = model.chars().take(100).collect();
        let known = known.collect::<Vec<_>>().join(", ");
        let message = format!("The model '{model}' does not exist here. Models: {known}.");
        let error = Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, Some("model_not_found"), message);
        Self { param: Some("model"), ..error }
    }

    /// 400: there is no response of that id, or it belongs to another key.
    pub fn response_not_found(id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        let message = format!(
            "Previous response with id '{id}' not found. It may have expired (variable response_ttl), or have been made with `store` set to false."
        );
        let error = Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("previous_response_not_found"), message);
        Self { param: Some("previous_response_id"), ..error }
    }

    /// 404: there is no task of that id, or it belongs to another key.
    pub fn task_not_found(id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        let message = format!("No task found with id '{id}'. It may have expired (variable task_ttl).");
        Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, Some("task_not_found"), message)
    }

    /// 404: there is no remembered image of that id, or it belongs to another key.
    pub fn image_not_found(id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            INVALID_REQUEST,
            Some("image_not_found"),
            format!("No image found with id '{id}'."),
        )
    }

    /// 429: the key has as many unfinished tasks as it may have.
    pub fn too_many_tasks(limit: usize) -> Self {
        let message = format!(
            "You have {limit} unfinished tasks, and no more are taken (variable max_tasks). Wait until one ends, or cancel one."
        );
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("too_many_tasks"), message);
        Self { retry: Retry::After(Duration::from_secs(10)), ..error }
    }

    /// 503: the database fails, or there is none, and what is asked for can't be done without.
    pub fn store_failed(error: &StoreError) -> Self {
        let message =
            "The server's database fails. Try again in a moment; calls that wait for their images need no database.";
        let failed =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable_error", Some("store_unavailable"), message);
        Self { retry: Retry::After(Duration::from_secs(5)), detail: Some(error.to_string()), ..failed }
    }

    /// 404: no such path.
    pub fn unknown_path(method: &http::Method, path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, None, format!("Invalid URL ({method} {path})"))
    }

    /// 405: the path takes other methods, `allow`.
    pub fn wrong_method(method: &http::Method, allow: &'static str) -> Self {
        let message = format!("Not allowed to {method} here. Allowed: {allow}.");
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID_REQUEST, None, message);
        Self { allow: Some(allow), ..error }
    }

    /// 413: the body has more than `limit` bytes.
    pub fn body_too_large(limit: usize) -> Self {
        let message = format!("The request's body is larger than {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, None, message)
    }

    /// 415: the body is of a type that the route doesn't take.
    pub fn wrong_content_type(expected: &'static str) -> Self {
        let message = format!("Unsupported content type. Send {expected}.");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, None, message)
    }

    /// 408: the body stopped coming.
    pub fn body_stalled() -> Self {
        let error =
            Self::new(StatusCode::REQUEST_TIMEOUT, INVALID_REQUEST, None, "The request's body did not arrive in time.");
        Self { retry: Retry::Soon, ..error }
    }

    /// 403: an image link that was not made here, or not for this image.
    pub fn forged_link() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            INVALID_REQUEST,
            Some("invalid_link"),
            "This image link was not made by this server, or its Space is no longer configured. Make the image again.",
        )
    }

    /// 410: an image link whose time is over.
    pub fn expired_link() -> Self {
        Self::new(
            StatusCode::GONE,
            INVALID_REQUEST,
            Some("expired_link"),
            "This image link has expired. Make the image again, or have links live longer with the variable link_ttl.",
        )
    }

    /// 404: the Space doesn't have the image any more.
    pub fn image_gone() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            INVALID_REQUEST,
            Some("image_gone"),
            "The Space no longer has this image: it was restarted or has cleaned up. Make the image again.",
        )
    }

    /// 429: one request more than `limit` in a minute; after `wait` it would be let in.
    pub fn too_many_requests(limit: u32, wait: Duration) -> Self {
        let seconds = wait.as_secs_f64();
        Self::rate_limited(
            wait,
            format!(
                "Rate limit reached for requests: {limit} per minute for one API key. Try again in {seconds:.1} s."
            ),
        )
    }

    /// 429: more images than the `limit` that the key may have in the making at once.
    pub fn too_many_jobs(limit: u32, wait: Duration) -> Self {
        Self::rate_limited(
            wait,
            format!(
                "Rate limit reached for images at once: {limit} for one API key, and fewer are left. Try again when one is done."
            ),
        )
    }

    fn rate_limited(wait: Duration, message: String) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", Some("rate_limit_exceeded"), message);
        Self { retry: Retry::After(wait), ..error }
    }

    /// 400: the header `Idempotency-Key` can't be read.
    pub fn bad_idempotency_key() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            INVALID_REQUEST,
            Some("invalid_idempotency_key"),
            "The header Idempotency-Key must come once, with 1 to 255 printable ASCII characters. A random UUID is a good one.",
        )
    }

    /// 422: the idempotency key came before with another request.
    pub fn idempotency_key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            INVALID_REQUEST,
            Some("idempotency_key_reused"),
            "This Idempotency-Key was sent before with another request. Send the same request again, or another key.",
        )
    }

    /// 409: the request of that idempotency key is being answered, where its answer can't be had from.
    pub fn idempotency_in_progress() -> Self {
        let error = Self::new(
            StatusCode::CONFLICT,
            INVALID_REQUEST,
            Some("idempotency_in_progress"),
            "A request with this Idempotency-Key is being answered. Try again when it is done.",
        );
        Self { retry: Retry::After(Duration::from_secs(2)), ..error }
    }

    /// 416: the image has no such bytes.
    pub fn unsatisfiable_range() -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, INVALID_REQUEST, None, "The image has no such range of bytes.")
    }

    /// 500: something here is not as it must be; `detail` goes to the log only.
    pub fn internal(message: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, Some("internal_error"), message);
        Self { detail: Some(detail.into()), ..error }
    }

    /// 503: more is asked for than the Spaces can make.
    pub fn overloaded(message: String) -> Self {
        let error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable_error",
            Some("server_is_overloaded"),
            message,
        );
        Self { retry: Retry::After(Duration::from_secs(10)), ..error }
    }

    fn bad_gateway(code: &'static str, retry: Retry, message: impl Into<String>) -> Self {
        Self { retry, ..Self::new(StatusCode::BAD_GATEWAY, SERVER, Some(code), message) }
    }

    /// Whether a later try may go another way, as what failed was not the request.
    pub fn may_pass(&self) -> bool {
        let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];
        self.status.is_server_error() || passing.contains(&self.status)
    }

    /// The error object that OpenAI's clients read.
    pub fn body(&self) -> Body<'_> {
        Body { error: BodyError { message: &self.message, r#type: self.kind, param: self.param, code: self.code } }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let detail = Some(failure.to_string());
        let error = match failure {
            Failure::Transport(TransportError::Denied) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                SERVER,
                Some("space_not_allowed"),
                "This server may not connect to the Space's host. Its operator must allow it with the variable extra_host.",
            ),
            Failure::Transport(TransportError::Unreachable(_)) => Self::bad_gateway(
                "space_unreachable",
                Retry::Soon,
                "The Space can't be reached. It may be down; try again later.",
            ),
            Failure::Transport(TransportError::Broken(_)) | Failure::Cut => Self::bad_gateway(
                "space_connection_lost",
                Retry::Soon,
                "The connection to the Space broke before the image was done. Try again.",
            ),
            Failure::Transport(TransportError::TimedOut(_)) | Failure::Stalled { .. } => Self {
                retry: Retry::Soon,
                ..Self::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    SERVER,
                    Some("space_stalled"),
                    "The Space stopped answering. Try again later.",
                )
            },
            Failure::Overdue { after } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                SERVER,
                Some("space_timeout"),
                format!(
                    "The Space did not finish within {} s (variable job_timeout). Try fewer steps or a smaller size, or later.",
                    after.as_secs()
                ),
            ),
            Failure::QueueFull { detail } => Self {
                retry: Retry::After(Duration::from_secs(5)),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "service_unavailable_error",
                    Some("server_is_overloaded"),
                    format!("The Space takes no more jobs now. Try again in a moment. ({detail})"),
                )
            },
            Failure::Rejected { message } => {
                Self::new(StatusCode::BAD_REQUEST, "image_generation_user_error", Some("rejected_by_space"), message)
            }
            Failure::Unsupported(what) => Self {
                param: Some("model"),
                ..Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("unsupported_by_model"), what)
            },
            Failure::Quota { message, retry_after } => Self {
                retry: retry_after.map_or(Retry::Never, Retry::NotBefore),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "insufficient_quota",
                    Some("insufficient_quota"),
                    format!("The Space has no GPU time left for this server. {message}"),
                )
            },
            Failure::Crashed => Self::bad_gateway(
                "space_error",
                Retry::Never,
                "The Space failed while it made the image, and does not say why. Another prompt, size or step count may do.",
            ),
            Failure::Cancelled => {
                Self::bad_gateway("space_cancelled", Retry::Soon, "The Space cancelled the job. Try again.")
            }
            Failure::NoImage => Self::bad_gateway(
                "no_image",
                Retry::Never,
                "The Space finished without an image. Another prompt may do.",
            ),
            Failure::Queue { message } => Self::bad_gateway(
                "space_queue_failed",
                Retry::Soon,
                format!("The Space's queue failed, as when it restarts. Try again. ({message})"),
            ),
            Failure::NotReady { stage } => of_stage(stage),
            Failure::Status { status, .. } => of_status(status),
            Failure::Unreadable(_) => Self::bad_gateway(
                "space_unreadable",
                Retry::Never,
                "The Space does not answer as it should. It may be no Gradio app, or make no images from text.",
            ),
        };
        Self { detail, ..error }
    }
}

/// What a Space is doing in place of answering.
fn of_stage(stage: Option<Stage>) -> Error {
    let waking = |code, message: &str| Error {
        retry: Retry::After(Duration::from_secs(20)),
        ..Error::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable_error", Some(code), message)
    };
    match stage {
        Some(Stage::Sleeping) => {
            waking("space_sleeping", "The Space was asleep and is being woken. Try again in a minute.")
        }
        Some(Stage::Starting) => {
            waking("space_starting", "The Space is being built or started. Try again in some minutes.")
        }
        Some(Stage::Paused) => Error::bad_gateway(
            "space_paused",
            Retry::Never,
            "The Space's owner has paused it. Use another model, or ask the server's operator for another Space.",
        ),
        Some(Stage::Broken) => Error::bad_gateway(
            "space_broken",
            Retry::Never,
            "The Space cannot be built or run at the moment. Its owner must mend it.",
        ),
        Some(Stage::Hidden) => Error::bad_gateway(
            "space_private",
            Retry::Never,
            "The Space is private, or there is no such Space. The server's operator must correct its name or give its token.",
        ),
        Some(Stage::Renamed) => Error::bad_gateway(
            "space_renamed",
            Retry::Never,
            "The Space has been renamed or moved. The server's operator must correct its name.",
        ),
        None => Error::bad_gateway(
            "space_unreadable",
            Retry::Never,
            "The Space does not answer as a Gradio app does. It may be asleep or being built; try again in a few minutes.",
        ),
    }
}

/// A call's status that is no success, and has no better reading.
fn of_status(status: StatusCode) -> Error {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::bad_gateway(
            "space_forbidden",
            Retry::Never,
            "The Space refuses this server. It may be private; its operator must make it public.",
        ),
        StatusCode::NOT_FOUND => Error::bad_gateway(
            "space_not_found",
            Retry::Never,
            "There is no such Space any more. The server's operator must correct the variable spaces.",
        ),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Error {
            retry: Retry::After(Duration::from_secs(10)),
            ..Error::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable_error",
                Some("server_is_overloaded"),
                "The Space is overloaded or being restarted. Try again in a moment.",
            )
        },
        status if status.is_redirection() => Error::bad_gateway(
            "space_redirects",
            Retry::Never,
            "The Space sends this server elsewhere, which it does not follow. It may have been renamed or be asleep.",
        ),
        status if status.is_server_error() => Error::bad_gateway(
            "space_error",
            Retry::Soon,
            format!("The Space answered with an error ({status}). Try again."),
        ),
        status => Error::bad_gateway(
            "space_incompatible",
            Retry::Never,
            format!("The Space does not take this server's call ({status}). It may have changed."),
        ),
    }
}

/// OpenAI's error object in its envelope. All four fields are always there, `null` where there is nothing to say.
#[derive(Debug, Serialize)]
pub struct Body<'a> {
    error: BodyError<'a>,
}

#[derive(Debug, Serialize)]
struct BodyError<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_all_four_fields() {
        assert_eq!(
            serde_json::to_string(&Error::missing("prompt").body()).unwrap(),
            r#"{"error":{"message":"Missing required parameter: 'prompt'.","type":"invalid_request_error","param":"prompt","code":"missing_required_parameter"}}"#
        );
        assert_eq!(serde_json::to_value(Error::no_key().body()).unwrap()["error"]["code"], serde_json::Value::Null);
    }

    #[test]
    fn only_what_another_try_can_mend_is_tried_again() {
        let retry = |failure: Failure| Error::from(failure).retry;
        assert_eq!(retry(Failure::Cut), Retry::Soon);
        assert_eq!(retry(Failure::Crashed), Retry::Never);
        assert_eq!(retry(Failure::Overdue { after: Duration::from_secs(300) }), Retry::Never);
        assert_eq!(retry(Failure::Rejected { message: String::new() }), Retry::Never);
        assert!(matches!(retry(Failure::QueueFull { detail: String::new() }), Retry::After(_)));
    }

    #[test]
    fn whose_fault_it_is_shows_in_the_status() {
        let status = |failure: Failure| Error::from(failure).status.as_u16();
        assert_eq!(status(Failure::Rejected { message: "no".into() }), 400);
        assert_eq!(status(Failure::Crashed), 502);
        assert_eq!(status(Failure::Stalled { after: Duration::from_secs(1) }), 504);
        assert_eq!(status(Failure::QueueFull { detail: String::new() }), 503);
        assert_eq!(status(Failure::Quota { message: String::new(), retry_after: None }), 429);
        for (upstream, ours) in [(302, 502), (401, 502), (404, 502), (422, 502), (429, 503), (500, 502), (503, 503)] {
            let upstream_status = StatusCode::from_u16(upstream).unwrap();
            let failure = Failure::Status {
                call: "queue/join",
                status: upstream_status,
                detail: String::new(),
                retry_after: None,
            };
            assert_eq!(status(failure), ours, "{upstream}");
        }
    }
}
