//! The messages of a Gradio queue's event stream, protocol `sse_v3`.
//!
//! Source: Gradio's `server_messages.py`, and recordings of 4.44, 5.50 and 6.31. A message is one flat JSON object that
//! `msg` names; unknown messages and fields are passed over, as Gradio adds some with most releases.

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::bounded_json::JsonBounds;
use crate::generation::{QueuePosition, StepProgress};

/// One message, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Place of the job in the queue.
    Estimation(QueuePosition),
    /// The function has begun; `eta` is the Space's guess of how many seconds it takes.
    ProcessStarts {
        /// Seconds.
        eta: Option<f64>,
    },
    /// Progress of the function: its innermost progress bar.
    Progress(StepProgress),
    /// The function has yielded: its outputs, whole the first time, as edits after that.
    ProcessGenerating(Vec<Value>),
    /// The function has returned, or failed, or was cancelled.
    ProcessCompleted(Completion),
    /// The queue itself failed: the session is unknown, or the server is closing.
    UnexpectedError {
        /// Gradio's text.
        message: String,
    },
    /// Nothing more will come.
    CloseStream,
    /// A heartbeat, a log line, or something newer.
    Other,
}

/// End of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    /// The function's outputs, one for each output component.
    Outputs(Vec<Value>),
    /// The function raised: `message` is empty for an exception that the Space doesn't show.
    Failed {
        /// The text of `gr.Error`, or of the exception where the app runs with `show_error`.
        message: Option<String>,
        /// The heading that `gr.Error` was given, `Error` by default.
        title: Option<String>,
        /// Marks a `gr.Error`, which alone says for how long it is to be shown.
        is_meant: bool,
    },
    /// Somebody cancelled it: Gradio says `success` with no data.
    Cancelled,
}

impl Message {
    /// Reads the data of one event. Of a message beside the matter, such as a progress, that isn't as it should be
    /// nothing is made: only those that end a job decide about it.
    ///
    /// # Errors
    /// A text that isn't a JSON object with a `msg`, or a message that ends the job and can't be read.
    pub fn parse(data: &[u8]) -> Result<Self, serde_json::Error> {
        // Serde would take an array for a structure's fields in their order.
        if data.trim_ascii_start().first() != Some(&b'{') {
            return Err(serde_json::Error::custom("not a JSON object"));
        }
        let wire: WireMessage = match JsonBounds::EVENT.parse(data) {
            Ok(wire) => wire,
            Err(error) => {
                let Name { msg } = serde_json::from_slice(data)?;
                let ends = matches!(msg.as_str(), "process_completed" | "unexpected_error" | "close_stream");
                return if ends { Err(error) } else { Ok(Self::Other) };
            }
        };
        Ok(match wire.msg.as_str() {
            "estimation" => Self::Estimation(QueuePosition {
                rank: wire.rank.unwrap_or_default(),
                size: wire.queue_size.unwrap_or_default(),
                eta: wire.rank_eta,
            }),
            "process_starts" => Self::ProcessStarts { eta: wire.eta },
            "progress" => match wire.progress_data.unwrap_or_default().pop() {
                Some(unit) => Self::Progress(StepProgress {
                    index: unit.index.and_then(whole),
                    length: unit.length.and_then(whole),
                    fraction: unit.progress,
                }),
                None => Self::Other,
            },
            "process_generating" => match wire.output.and_then(|output| output.data) {
                Some(data) if wire.success != Some(false) => Self::ProcessGenerating(data),
                _ => Self::Other,
            },
            "process_completed" => Self::ProcessCompleted(completion(wire)),
            "unexpected_error" => Self::UnexpectedError { message: wire.message.unwrap_or_default() },
            "close_stream" => Self::CloseStream,
            _ => Self::Other,
        })
    }
}

fn completion(wire: WireMessage) -> Completion {
    let output = wire.output.unwrap_or_default();
    match (wire.success.unwrap_or(false), output.data) {
        (true, Some(data)) => Completion::Outputs(data),
        (true, None) => Completion::Cancelled,
        (false, _) => Completion::Failed {
            message: output.error.and_then(text),
            title: wire.title.or(output.title),
            is_meant: output.has_duration,
        },
    }
}

/// The text of an `error`, which is null for an exception that isn't shown.
fn text(error: Value) -> Option<String> {
    match error {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// A number of steps, which Gradio has as `int | float`.
fn whole(steps: f64) -> Option<u64> {
    (0.0..1e15).contains(&steps).then(|| format!("{:.0}", steps.floor()).parse().ok()).flatten()
}

/// True for a field that is there, whatever it holds.
fn is_there<'de, D: Deserializer<'de>>(field: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(field).map(|_| true)
}

#[derive(Deserialize)]
struct Name {
    msg: String,
}

#[derive(Deserialize)]
struct WireMessage {
    msg: String,
    rank: Option<u64>,
    queue_size: Option<u64>,
    rank_eta: Option<f64>,
    eta: Option<f64>,
    progress_data: Option<Vec<WireProgress>>,
    output: Option<WireOutput>,
    success: Option<bool>,
    title: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct WireProgress {
    index: Option<f64>,
    length: Option<f64>,
    progress: Option<f64>,
}

#[derive(Default, Deserialize)]
struct WireOutput {
    data: Option<Vec<Value>>,
    error: Option<Value>,
    title: Option<String>,
    #[serde(default, rename = "duration", deserialize_with = "is_there")]
    has_duration: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(data: &str) -> Message {
        Message::parse(data.as_bytes()).unwrap()
    }

    #[test]
    fn tells_position_steps_and_fraction() {
        assert_eq!(
            parse(r#"{"msg":"estimation","event_id":"e","rank":2,"queue_size":3,"rank_eta":1.5}"#),
            Message::Estimation(QueuePosition { rank: 2, size: 3, eta: Some(1.5) })
        );
        assert_eq!(
            parse(r#"{"msg":"progress","progress_data":[{"index":4,"length":9,"unit":"steps","progress":null}]}"#),
            Message::Progress(StepProgress { index: Some(4), length: Some(9), fraction: None })
        );
        assert_eq!(
            parse(r#"{"msg":"progress","progress_data":[{"index":null,"length":null,"progress":0.5}]}"#),
            Message::Progress(StepProgress { index: None, length: None, fraction: Some(0.5) })
        );
    }

    #[test]
    fn an_end_without_data_is_a_cancellation() {
        assert_eq!(
            parse(r#"{"msg":"process_completed","output":{},"success":true}"#),
            Message::ProcessCompleted(Completion::Cancelled)
        );
    }

    #[test]
    fn tells_a_shown_error_from_a_hidden_one() {
        for (duration, is_meant) in [(r#","duration":10"#, true), (r#","duration":null"#, true), ("", false)] {
            let output = format!(r#"{{"error":"no","title":"Error"{duration}}}"#);
            let failed = parse(&format!(r#"{{"msg":"process_completed","output":{output},"success":false}}"#));
            let (message, title) = (Some("no".into()), Some("Error".into()));
            assert_eq!(failed, Message::ProcessCompleted(Completion::Failed { message, title, is_meant }));
        }
        assert_eq!(
            parse(r#"{"msg":"process_completed","output":{"error":null},"success":false}"#),
            Message::ProcessCompleted(Completion::Failed { message: None, title: None, is_meant: false })
        );
    }

    #[test]
    fn passes_over_what_it_does_not_know() {
        assert_eq!(parse(r#"{"msg":"heartbeat","event_id":null}"#), Message::Other);
        assert_eq!(parse(r#"{"msg":"brand_new","output":null,"success":null}"#), Message::Other);
        let steps = r#"{"msg":"progress","progress_data":[{"index":4.5,"length":9.0,"progress":null}]}"#;
        let read = StepProgress { index: Some(4), length: Some(9), fraction: None };
        assert_eq!(parse(steps), Message::Progress(read), "Gradio types them as int or float");
        for beside in [
            r#"{"msg":"progress","progress_data":[{"index":"x"}]}"#,
            r#"{"msg":"process_generating","output":"x","success":true}"#,
            r#"{"msg":"estimation","rank":-1}"#,
        ] {
            assert_eq!(parse(beside), Message::Other, "{beside}");
        }
        assert!(Message::parse(br#"{"msg":"process_completed","output":7}"#).is_err());
        assert!(Message::parse(b"[]").is_err());
        let fields = br#"["progress",null,null,null,null,null,null,null,null,null]"#;
        assert!(Message::parse(fields).is_err(), "fields in their order, without their names");
        assert!(Message::parse(b"{}").is_err());
    }
}
