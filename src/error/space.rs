//! Errors of Spaces, made of the failures of their calls.

use std::time::Duration;

use http::StatusCode;

use super::{Error, INVALID_REQUEST, Retry, SERVER};
use crate::gradio::failure::Failure;
use crate::gradio::stage::Stage;
use crate::platform::TransportError;

impl Error {
    /// 422: the Space is there, and this request comes to nothing however often it is sent. A status of the server's
    /// own would have it made again by clients that go by that alone.
    fn comes_to_nothing(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, SERVER, Some(code), message)
    }

    fn bad_gateway(code: &'static str, retry: Retry, message: impl Into<String>) -> Self {
        Self { retry, ..Self::new(StatusCode::BAD_GATEWAY, SERVER, Some(code), message) }
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
                "This server may not connect to the Space's host. Its operator must allow it with the variable \
                 extra_host.",
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
                    "The Space did not finish within {} s (variable job_timeout). Try fewer steps or a smaller size, \
                     or later.",
                    after.as_secs()
                ),
            ),
            Failure::OutOfMemory(refused) => Self::out_of_memory(&refused),
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
            Failure::Crashed => Self::comes_to_nothing(
                "space_error",
                "The Space failed while it made the image, and does not say why. Another prompt, size or step count \
                 may do.",
            ),
            Failure::Cancelled => {
                Self::bad_gateway("space_cancelled", Retry::Soon, "The Space cancelled the job. Try again.")
            }
            Failure::NoImage => {
                Self::comes_to_nothing("no_image", "The Space finished without an image. Another prompt may do.")
            }
            Failure::Elsewhere { host } => Self::comes_to_nothing(
                "image_elsewhere",
                format!(
                    "The image was made, but lies at another host, {host}, and this server fetches from the Space \
                     alone. Use another model."
                ),
            ),
            Failure::Queue { message } => Self::bad_gateway(
                "space_queue_failed",
                Retry::Soon,
                format!("The Space's queue failed, as when it restarts. Try again. ({message})"),
            ),
            Failure::NotReady { stage } => of_stage(stage),
            Failure::Status { call: "upload", status: StatusCode::PAYLOAD_TOO_LARGE, .. } => Self {
                param: Some("image"),
                ..Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    INVALID_REQUEST,
                    Some("image_too_large"),
                    "The Space takes no images as large as these. Send smaller ones.",
                )
            },
            Failure::Status { status, retry_after, .. } => of_status(status, retry_after),
            Failure::Unreadable(_) => Self::bad_gateway(
                "space_unreadable",
                Retry::Never,
                "The Space does not answer as it should. It may be no Gradio app, or make no images from text.",
            ),
        };
        Self { detail, ..error }
    }
}

/// Error of a Space that is in that stage.
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
            "The Space is private, or there is no such Space. The server's operator must correct its name or give \
             its token.",
        ),
        Some(Stage::Renamed) => Error::bad_gateway(
            "space_renamed",
            Retry::Never,
            "The Space has been renamed or moved. The server's operator must correct its name.",
        ),
        None => Error::bad_gateway(
            "space_unreadable",
            Retry::Never,
            "The Space does not answer as a Gradio app does. It may be asleep or being built; try again in a few \
             minutes.",
        ),
    }
}

/// A call's status that is no success, and has no better reading; with the wait that the Space names, if it does.
fn of_status(status: StatusCode, retry_after: Option<Duration>) -> Error {
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
            retry: Retry::After(retry_after.unwrap_or(Duration::from_secs(10))),
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_wait_that_the_space_names_is_passed_on() {
        let failure = |retry_after| Failure::Status {
            call: "queue/join",
            status: StatusCode::TOO_MANY_REQUESTS,
            detail: String::new(),
            retry_after,
        };
        let retry = |retry_after| Error::from(failure(retry_after)).retry;
        assert_eq!(retry(Some(Duration::from_secs(120))), Retry::After(Duration::from_secs(120)));
        assert_eq!(retry(None), Retry::After(Duration::from_secs(10)));
    }

    #[test]
    fn an_image_that_is_too_large_for_the_space_is_the_clients_to_mend() {
        let failure = |call| Failure::Status {
            call,
            status: StatusCode::PAYLOAD_TOO_LARGE,
            detail: String::new(),
            retry_after: None,
        };
        assert_eq!(Error::from(failure("upload")).status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(Error::from(failure("queue/join")).status, StatusCode::BAD_GATEWAY);
    }

    #[test]
    fn whose_fault_it_is_shows_in_the_status() {
        let status = |failure: Failure| Error::from(failure).status.as_u16();
        assert_eq!(status(Failure::Rejected { message: "no".into() }), 400);
        assert_eq!((status(Failure::Crashed), status(Failure::NoImage)), (422, 422));
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
