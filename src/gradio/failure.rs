//! Failures of Spaces to make an image.
//!
//! The rest goes by whose fault it is: the user's (`gr.Error` about the prompt) is reported at once and
//! never tried again; a Space's (down, full, out of quota, broken) may be tried elsewhere or later. Gradio says only a
//! little of that on the wire, so quota messages are recognized by their titles and texts, which come from Hugging
//! Face's `spaces` package.

use std::time::Duration;

use http::StatusCode;
use thiserror::Error;

use super::stage::Stage;
use crate::platform::{OutOfMemory, TransportError};

/// Failure of a Space to make an image. Texts from the Space have been through [`plain`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// The exchange with the Space broke, or never began.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The Space answered a call with a status that is no success.
    #[error("{call} answered {status}: {detail}")]
    Status {
        /// The call.
        call: &'static str,
        /// Its status.
        status: StatusCode,
        /// The Space's words; empty where they can't be read.
        detail: String,
        /// Time to wait, where the Space names one (`Retry-After`, in seconds).
        retry_after: Option<Duration>,
    },
    /// The Space's queue takes no more jobs: 503 "Queue is full".
    #[error("the queue is full: {detail}")]
    QueueFull {
        /// The Space's words.
        detail: String,
    },
    /// The function raised `gr.Error`: what was asked for can't be done.
    #[error("the Space rejects the request: {message}")]
    Rejected {
        /// The text of the error.
        message: String,
    },
    /// A validator of the function refused an argument as the job joined.
    #[error("the Space rejects the parameter {}: {message}", .parameter.as_deref().unwrap_or("that it doesn't name"))]
    Invalid {
        /// The validator's words.
        message: String,
        /// The Space's name of the parameter.
        parameter: Option<String>,
    },
    /// The Space can't do this at all.
    #[error("the Space cannot do this: {0}")]
    Unsupported(&'static str),
    /// The Space's GPU quota is used up, or no GPU was free in time.
    #[error("no GPU for this request: {message}")]
    Quota {
        /// The Space's words.
        message: String,
        /// Time to wait, where the Space names one.
        retry_after: Option<Duration>,
    },
    /// The function raised an exception that the Space doesn't show.
    #[error("the Space's function raised an exception")]
    Crashed,
    /// Somebody cancelled the job at the Space.
    #[error("the job was cancelled at the Space")]
    Cancelled,
    /// The function returned no image.
    #[error("the Space returned no image")]
    NoImage,
    /// The image is a file at another host, which the settings don't name: nothing is fetched from there.
    #[error("the image is at {host}, which is not the Space's own")]
    Elsewhere {
        /// The host, with its port where that isn't the scheme's own.
        host: String,
    },
    /// The image is a file at another host, which doesn't give it.
    #[error("the image is at {host}, which does not give it: {cause}")]
    NotHandedOver {
        /// The host, as the settings name it.
        host: String,
        /// Failure of the fetch.
        cause: Box<Failure>,
    },
    /// Gradio's queue failed: a restart, an unknown session, a closing server.
    #[error("the Space's queue failed: {message}")]
    Queue {
        /// The Space's words.
        message: String,
    },
    /// The event stream ended before the job did.
    #[error("the Space's event stream broke off")]
    Cut,
    /// Nothing came for too long.
    #[error("the Space sent nothing for {} s", .after.as_secs())]
    Stalled {
        /// Time for which nothing came.
        after: Duration,
    },
    /// The job took longer than one may.
    #[error("the Space did not finish within {} s", .after.as_secs())]
    Overdue {
        /// Time that it was given.
        after: Duration,
    },
    /// The Space doesn't run, or is none: `/config` is no Gradio configuration.
    #[error("the Space does not run: {}", .stage.map_or("it does not answer as Gradio does", Stage::describe))]
    NotReady {
        /// Stage of the Space, where Hugging Face has one.
        stage: Option<Stage>,
    },
    /// The instance has no memory left for what the Space has made: no fault of the Space's.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// The Space answered, but not as it should.
    #[error("the Space does not answer as it should: {0}")]
    Unreadable(String),
}

impl Failure {
    /// Reads the text and the title of a failed job. Where it `is_meant` the function has raised `gr.Error`; else the
    /// text is an exception's, which the app shows.
    pub fn of_job(message: Option<String>, title: Option<&str>, is_meant: bool) -> Self {
        let Some(message) = message.as_deref().map(plain).filter(|message| !message.is_empty()) else {
            return Self::Crashed;
        };
        let lower = message.to_lowercase();
        let is_quota = title.is_some_and(|title| title.to_lowercase().contains("zerogpu"))
            || ["gpu quota", "no gpu was available", "gpu task aborted", "gpu limit"]
                .iter()
                .any(|sign| lower.contains(sign));
        if is_quota {
            return Self::Quota { retry_after: retry_after(&lower), message };
        }
        if is_meant { Self::Rejected { message } } else { Self::Crashed }
    }
}

/// The wait that a ZeroGPU message names: `try again in 0:05:12`, `retry in 1 day, 0:09:48`. `text` is in lower case.
fn retry_after(text: &str) -> Option<Duration> {
    let rest = [" again in ", "retry in "].iter().find_map(|words| text.split_once(words))?.1;
    let (days, clock) = match rest.split_once(" day") {
        Some((days, rest)) if days.bytes().all(|byte| byte.is_ascii_digit()) => {
            (days.parse::<u64>().ok()?, rest.trim_start_matches('s').trim_start_matches(", "))
        }
        _ => (0, rest),
    };
    let mut fields = clock.split(':');
    let hours: u64 = fields.next()?.parse().ok()?;
    let minutes: u64 = fields.next()?.parse().ok()?;
    let seconds: String = fields.next()?.chars().take_while(char::is_ascii_digit).collect();
    let seconds: u64 = seconds.parse().ok()?;
    let total = days.checked_mul(86_400)?.checked_add(hours.checked_mul(3_600)?)?;
    Some(Duration::from_secs(total.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)?))
}

/// The longest text of a Space's that is passed on, in characters.
const MAX_TEXT: usize = 500;

/// A Space's text, made fit to pass on: tags and control characters taken out, white space folded, quotes around the
/// whole (which Gradio 4 adds) removed, and cut at 500 characters.
pub fn plain(text: &str) -> String {
    let mut kept = String::new();
    let mut in_tag = false;
    let mut count = 0;
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let opens_tag = c == '<' && chars.peek().is_some_and(|next| next.is_ascii_alphabetic() || *next == '/');
        match c {
            '<' if opens_tag => in_tag = true,
            '>' if in_tag => in_tag = false,
            _ if in_tag => {}
            _ if c.is_whitespace() || c.is_control() => {
                if !kept.is_empty() && !kept.ends_with(' ') {
                    kept.push(' ');
                    count += 1;
                }
            }
            _ if is_invisible(c) => {}
            _ => {
                kept.push(c);
                count += 1;
            }
        }
        if count >= MAX_TEXT {
            kept.push('…');
            break;
        }
    }
    let kept = kept.trim();
    let unquoted = ['\'', '"'].iter().find_map(|quote| kept.strip_prefix(*quote)?.strip_suffix(*quote));
    unquoted.unwrap_or(kept).to_owned()
}

/// Characters that can turn the order of a log line or hide in it: bidirectional controls, zero-width ones, the byte
/// order mark, and the line and paragraph separators.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_made_harmless() {
        assert_eq!(plain("  a\r\nb\t\u{1b}[31mc\u{0}d  "), "a b [31mc d");
        assert_eq!(plain("see <a href=\"https://x\">here</a>, 1 < 2"), "see here, 1 < 2");
        assert_eq!(plain("'Prompt rejected: bad'"), "Prompt rejected: bad");
        assert_eq!(plain("\u{202e}evil\u{2066}"), "evil");
        assert_eq!(plain(&"x".repeat(10_000)).chars().count(), MAX_TEXT + 1);
        assert_eq!(plain("'"), "'");
        assert_eq!(plain("红色"), "红色");
    }

    #[test]
    fn a_prompt_is_the_users_fault_and_a_quota_is_not() {
        let of = |message: &str, title: &str| Failure::of_job(Some(message.into()), Some(title), true);
        assert_eq!(of("Prompt rejected: bad", "Error"), Failure::Rejected { message: "Prompt rejected: bad".into() });
        assert!(matches!(
            of(
                "You have exceeded your free ZeroGPU quota (60s requested vs. 12s left). Try again in 0:05:12",
                "ZeroGPU quota exceeded"
            ),
            Failure::Quota { retry_after: Some(wait), .. } if wait == Duration::from_secs(312)
        ));
        assert!(matches!(
            of(
                "You have exceeded your GPU quota (46s left vs. 60s requested). Please retry in 1 day, 0:09:48",
                "Error"
            ),
            Failure::Quota { retry_after: Some(wait), .. } if wait == Duration::from_secs(86_400 + 588)
        ));
        assert!(matches!(
            of("No GPU was available after 60s", "ZeroGPU queue timeout"),
            Failure::Quota { retry_after: None, .. }
        ));
        let shown = Failure::of_job(Some("CUDA out of memory".into()), Some("Error"), false);
        assert_eq!(shown, Failure::Crashed, "an exception that the app shows is no word to the user");
        assert_eq!(Failure::of_job(None, Some("Error"), false), Failure::Crashed);
        assert_eq!(Failure::of_job(Some("\n".into()), None, true), Failure::Crashed);
    }

    #[test]
    fn a_wait_that_is_no_wait_is_none() {
        for text in ["try again in", "try again in a bit", "retry in 1:2", "retry in 99999999999999999999:00:00"] {
            assert_eq!(retry_after(text), None, "{text}");
        }
        assert_eq!(retry_after("please retry in 18446744073709551615 days, 1:00:00"), None);
    }
}
