//! Errors of Spaces, made of the failures of their calls.

use std::time::Duration;

use http::StatusCode;

use super::{Error, INVALID_REQUEST, Retry, SERVER};
use crate::gradio::failure::Failure;
use crate::gradio::stage::Stage;
use crate::platform::TransportError;

/// Names that Spaces' functions have for parameters, and the request's fields that set them.
const PARAMETERS: [(&str, &str); 13] = [
    ("prompt", "prompt"),
    ("text", "prompt"),
    ("negative_prompt", "negative_prompt"),
    ("seed", "seed"),
    ("steps", "steps"),
    ("num_inference_steps", "steps"),
    ("width", "width"),
    ("height", "height"),
    ("size", "size"),
    ("guidance_scale", "guidance_scale"),
    ("guidance", "guidance_scale"),
    ("image", "image"),
    ("strength", "strength"),
];

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
        Self::of_failure(failure, None)
    }
}

impl Error {
    /// Error of a Space's failure. It calls the Space by its name, where that is given.
    pub fn of_failure(failure: Failure, space: Option<&str>) -> Self {
        let space = &space.map_or_else(|| "Space".to_owned(), |name| format!("Space \"{name}\""));
        let detail = Some(failure.to_string());
        let error = match failure {
            Failure::Transport(TransportError::Denied) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                SERVER,
                Some("space_not_allowed"),
                format!(
                    "This server may not connect to the host of the {space}. Its operator must allow it with the \
                     variable extra_host."
                ),
            ),
            Failure::Transport(TransportError::Unreachable(_)) => Self::bad_gateway(
                "space_unreachable",
                Retry::Soon,
                format!("The {space} can't be reached. It may be down; try again later."),
            ),
            Failure::Transport(TransportError::Broken(_)) | Failure::Cut => Self::bad_gateway(
                "space_connection_lost",
                Retry::Soon,
                format!("The connection to the {space} broke before the image was done. Try again."),
            ),
            Failure::Transport(TransportError::TimedOut(_)) | Failure::Stalled { .. } => Self {
                retry: Retry::Soon,
                ..Self::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    SERVER,
                    Some("space_stalled"),
                    format!("The {space} stopped answering. Try again later."),
                )
            },
            Failure::Overdue { after } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                SERVER,
                Some("space_timeout"),
                format!(
                    "The {space} did not finish within {} s (variable job_timeout). Try fewer steps or a smaller size, \
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
                    format!("The {space} takes no more jobs now. Try again in a moment. ({detail})"),
                )
            },
            Failure::Rejected { message } => {
                Self::new(StatusCode::BAD_REQUEST, "image_generation_user_error", Some("rejected_by_space"), message)
            }
            Failure::Invalid { message, parameter } => of_validator(message, parameter.as_deref()),
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
                    format!("The {space} has no GPU time left for this server. {message}"),
                )
            },
            Failure::Crashed => Self::comes_to_nothing(
                "space_error",
                format!(
                    "The {space} failed while it made the image, and does not say why. Another prompt, size or step \
                     count may do."
                ),
            ),
            Failure::Cancelled => {
                Self::bad_gateway("space_cancelled", Retry::Soon, format!("The {space} cancelled the job. Try again."))
            }
            Failure::NoImage => Self::comes_to_nothing(
                "no_image",
                format!("The {space} finished without an image. Another prompt may do."),
            ),
            Failure::Elsewhere { host } => Self::comes_to_nothing(
                "image_elsewhere",
                format!(
                    "The image was made, but lies at another host than its Space, {host}, which this server doesn't \
                     fetch from. Use another model, or have its operator add the host to the variable image_hosts."
                ),
            ),
            Failure::NotHandedOver { host, cause } => of_image_host(&host, *cause),
            Failure::Queue { message } => Self::bad_gateway(
                "space_queue_failed",
                Retry::Soon,
                format!("The queue of the {space} failed, as when it restarts. Try again. ({message})"),
            ),
            Failure::NotReady { stage } => of_stage(stage, space),
            Failure::Status { call: "upload", status: StatusCode::PAYLOAD_TOO_LARGE, .. } => Self {
                param: Some("image"),
                ..Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    INVALID_REQUEST,
                    Some("image_too_large"),
                    format!("The {space} takes no images as large as these. Send smaller ones."),
                )
            },
            Failure::Status { status, retry_after, .. } => of_status(status, retry_after, space),
            Failure::Unreadable(_) => Self::bad_gateway(
                "space_unreadable",
                Retry::Never,
                format!(
                    "The {space} does not answer as it should. It may be no Gradio app, or make no images from text."
                ),
            ),
        };
        Self { detail, ..error }
    }
}

/// Error of an argument that a function's validator refuses. The message names a parameter that isn't one of ours.
fn of_validator(message: String, parameter: Option<&str>) -> Error {
    let param = parameter.and_then(|name| PARAMETERS.iter().find(|(known, _)| *known == name)).map(|(_, ours)| *ours);
    let message = match (param, parameter) {
        (None, Some(name)) => format!("{name}: {message}"),
        _ => message,
    };
    let error = Error::new(StatusCode::BAD_REQUEST, "image_generation_user_error", Some("rejected_by_space"), message);
    Error { param, ..error }
}

/// Error of an image at another host than its Space, which doesn't give it.
fn of_image_host(host: &str, cause: Failure) -> Error {
    if cause == Failure::Transport(TransportError::Denied) {
        let message = format!(
            "The image was made, but lies at another host than its Space, {host}, which this server may not connect \
             to. Its operator must allow it with the variable extra_image_host."
        );
        return Error::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, Some("image_host_not_allowed"), message);
    }
    let message =
        format!("The image was made, but lies at another host than its Space, {host}, which does not hand it over.");
    Error::bad_gateway("image_host_failed", Error::from(cause).retry, message)
}

/// Error of a Space that is in that stage.
fn of_stage(stage: Option<Stage>, space: &str) -> Error {
    let waking = |code, message: String| Error {
        retry: Retry::After(Duration::from_secs(20)),
        ..Error::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable_error", Some(code), message)
    };
    match stage {
        Some(Stage::Sleeping) => {
            waking("space_sleeping", format!("The {space} was asleep and is being woken. Try again in a minute."))
        }
        Some(Stage::Starting) => {
            waking("space_starting", format!("The {space} is being built or started. Try again in some minutes."))
        }
        Some(Stage::Paused) => Error::bad_gateway(
            "space_paused",
            Retry::Never,
            format!(
                "The owner of the {space} has paused it. Use another model, or ask the server's operator for another \
                 Space."
            ),
        ),
        Some(Stage::Broken) => Error::bad_gateway(
            "space_broken",
            Retry::Never,
            format!("The {space} cannot be built or run at the moment. Its owner must mend it."),
        ),
        Some(Stage::Hidden) => Error::bad_gateway(
            "space_private",
            Retry::Never,
            format!(
                "The {space} is private, or there is no such Space. The server's operator must correct its name or \
                 give its token."
            ),
        ),
        Some(Stage::Renamed) => Error::bad_gateway(
            "space_renamed",
            Retry::Never,
            format!("The {space} has been renamed or moved. The server's operator must correct its name."),
        ),
        None => Error::bad_gateway(
            "space_unreadable",
            Retry::Never,
            format!(
                "The {space} does not answer as a Gradio app does. It may be asleep or being built; try again in a \
                 few minutes."
            ),
        ),
    }
}

/// A call's status that is no success, and has no better reading; with the wait that the Space names, if it does.
fn of_status(status: StatusCode, retry_after: Option<Duration>, space: &str) -> Error {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::bad_gateway(
            "space_forbidden",
            Retry::Never,
            format!("The {space} refuses this server. It may be private; its operator must make it public."),
        ),
        StatusCode::NOT_FOUND => Error::bad_gateway(
            "space_not_found",
            Retry::Never,
            format!("The {space} is not there any more. The server's operator must correct the variable spaces."),
        ),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Error {
            retry: Retry::After(retry_after.unwrap_or(Duration::from_secs(10))),
            ..Error::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable_error",
                Some("server_is_overloaded"),
                format!("The {space} is overloaded or being restarted. Try again in a moment."),
            )
        },
        status if status.is_redirection() => Error::bad_gateway(
            "space_redirects",
            Retry::Never,
            format!(
                "The {space} sends this server elsewhere, which it does not follow. It may have been renamed or be \
                 asleep."
            ),
        ),
        status if status.is_server_error() => Error::bad_gateway(
            "space_error",
            Retry::Soon,
            format!("The {space} answered with an error ({status}). Try again."),
        ),
        status => Error::bad_gateway(
            "space_incompatible",
            Retry::Never,
            format!("The {space} does not take this server's call ({status}). It may have changed."),
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
    fn every_failure_of_a_space_says_which_one_it_is() {
        let status = |code: u16| Failure::Status {
            call: "file",
            status: StatusCode::from_u16(code).unwrap(),
            detail: String::new(),
            retry_after: None,
        };
        let stages = [Stage::Sleeping, Stage::Starting, Stage::Paused, Stage::Broken, Stage::Hidden, Stage::Renamed];
        let mut failures = vec![
            Failure::Transport(TransportError::Denied),
            Failure::Transport(TransportError::Unreachable(String::new())),
            Failure::Transport(TransportError::Broken(String::new())),
            Failure::Transport(TransportError::TimedOut(String::new())),
            Failure::Overdue { after: Duration::from_secs(1) },
            Failure::QueueFull { detail: String::new() },
            Failure::Quota { message: String::new(), retry_after: None },
            Failure::Queue { message: String::new() },
            Failure::NotReady { stage: None },
            Failure::Unreadable(String::new()),
        ];
        failures.extend([Failure::Crashed, Failure::Cancelled, Failure::NoImage]);
        failures.extend(stages.map(|stage| Failure::NotReady { stage: Some(stage) }));
        failures.extend([302, 401, 404, 409, 429, 500].map(status));
        for failure in failures {
            let error = Error::of_failure(failure.clone(), Some("owner/fox"));
            assert!(error.message.contains(r#" Space "owner/fox" "#) || error.message.contains(r#""owner/fox"."#));
            assert_eq!(error.message.replace(r#" "owner/fox""#, ""), Error::from(failure).message);
        }
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
    fn what_a_validator_refuses_is_told_with_the_field_that_sets_it() {
        let told = |parameter: Option<&str>| {
            let parameter = parameter.map(str::to_owned);
            let error = Error::from(Failure::Invalid { message: "Too many.".to_owned(), parameter });
            assert_eq!((error.status, error.retry), (StatusCode::BAD_REQUEST, Retry::Never));
            (error.param, error.message)
        };
        assert_eq!(told(Some("num_inference_steps")), (Some("steps"), "Too many.".to_owned()));
        assert_eq!(told(Some("shift")), (None, "shift: Too many.".to_owned()));
        assert_eq!(told(None), (None, "Too many.".to_owned()));
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
