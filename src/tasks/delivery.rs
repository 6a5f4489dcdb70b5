//! Delivery of the webhook at the end of a task.
//!
//! A message that isn't accepted is sent again later; meanwhile the task waits in the database.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use super::runner::{Lost, TaskRun};
use super::store::NextHolder;
use super::supervisor::TaskSupervisor;
use super::view::TaskObject;
use crate::error::Error;

/// Pause before each attempt, half of it jitter.
const PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(600),
];

/// Body of a webhook.
#[derive(Serialize)]
struct WebhookMessage<'a> {
    r#type: String,
    timestamp: String,
    data: &'a TaskObject,
}

impl TaskRun {
    /// Sends the webhook of the task once. Where that fails, the task waits for the next attempt.
    pub(super) async fn deliver(&mut self) -> Result<(), Lost> {
        let Some(webhook) = self.record.webhook.clone().filter(|webhook| !webhook.is_done) else { return Ok(()) };
        let outcome = match &self.supervisor.config.webhooks {
            None => {
                self.supervisor.log_line(&self.id, "A webhook could not be delivered.", "webhook_host is not set");
                Ok(())
            }
            Some(endpoint) => match (endpoint.url(&webhook.url), self.message().await) {
                (Ok(url), Ok(body)) => {
                    let id = format!("evt_{}", self.id);
                    match endpoint.send(&self.supervisor.host, url, &id, &body).await {
                        // 410 Gone: the receiver wants no more webhooks.
                        Ok(status) if status.is_success() || status == StatusCode::GONE => Ok(()),
                        Ok(status) => Err(status.to_string()),
                        Err(error) => Err(error.to_string()),
                    }
                }
                // The variable has changed since, and won't change back soon.
                (Err(error), _) => {
                    self.supervisor.log_error(&self.id, &error);
                    Ok(())
                }
                (_, Err(error)) => Err(error.message),
            },
        };
        let attempts = webhook.attempts.saturating_add(1);
        let pause = PAUSES.get(usize::try_from(attempts).unwrap_or(usize::MAX));
        let mut next = NextHolder::Wait(0);
        if let Err(why) = &outcome {
            self.supervisor.log_line(&self.id, "A webhook was not taken.", why);
            match pause {
                Some(pause) => next = self.supervisor.later(*pause),
                None => {
                    let why = "it was tried often enough";
                    self.supervisor.log_line(&self.id, "A webhook could not be delivered.", why);
                }
            }
        }
        if let Some(webhook) = &mut self.record.webhook {
            webhook.attempts = attempts;
            webhook.is_done = outcome.is_ok() || pause.is_none();
        }
        self.persist_with_retry(next, None).await
    }

    async fn message(&self) -> Result<Bytes, Error> {
        let record = &self.record;
        let links = self.supervisor.links(&record.base).await?;
        let task = self.supervisor.view(&self.id, record, &links);
        let message = WebhookMessage {
            r#type: format!("image.task.{}", record.status.name()),
            timestamp: rfc3339(record.completed.unwrap_or_default()),
            data: &task,
        };
        let json = serde_json::to_vec(&message);
        json.map(Bytes::from).map_err(|error| Error::internal("A message could not be written.", error.to_string()))
    }
}

impl TaskSupervisor {
    /// Validates the `webhook_url` of a request.
    ///
    /// # Errors
    /// 400 where this server sends no webhooks, or none to that host.
    pub fn webhook_url(&self, text: &str) -> Result<Url, Error> {
        match &self.config.webhooks {
            Some(endpoint) => endpoint.url(text),
            None => Err(Error::invalid_value(
                "webhook_url",
                "This server sends no webhooks. Its operator must set the variables webhook_host and webhook_secret. \
                 Poll the task, or follow its events.",
            )),
        }
    }
}

/// Seconds since the Unix epoch as RFC 3339 has them; nothing for a year that it has no digits for.
fn rfc3339(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_read_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
