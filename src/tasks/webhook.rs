//! Tells the end of a task to whoever asked for that.
//!
//! A message is signed as Standard Webhooks says (<https://www.standardwebhooks.com>, specification 1.0): `webhook-id`, which is the same however often
//! it is sent, `webhook-timestamp`, and in `webhook-signature` the HMAC-SHA-256 of both and the body. It goes to the one host
//! that the operator has named, and nowhere else: a client must not decide where this server connects to.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use sha2::Sha256;
use url::{Host, Url};

use super::keeper::Keeper;
use super::runner::{Lost, Run};
use super::view::TaskObject;
use crate::error::Error;
use crate::platform::{Outbound, Outside, TransportError, timeout};

/// What comes before each try, but for a random part.
const PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(600),
];
/// How long the host may take to answer. Standard Webhooks asks for 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The secret's length, in bytes, as Standard Webhooks has it.
const SECRET: std::ops::RangeInclusive<usize> = 24..=64;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("z-image-2api/", env!("CARGO_PKG_VERSION")));

/// Where ends are told, and what the messages are signed with.
#[derive(Clone)]
pub struct Endpoint {
    /// An origin, as the manifest's list of allowed hosts has it.
    host: Url,
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", self.host)
    }
}

/// Why the two variables don't make an endpoint.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unusable {
    /// The host.
    #[error(
        "webhook_host must be like https://hooks.example, without a path, or http:// with a loopback address; no webhooks are sent"
    )]
    Host,
    /// The secret.
    #[error("webhook_secret must be whsec_ and 24 to 64 bytes in base64; no webhooks are sent")]
    Secret,
}

impl Endpoint {
    /// Reads the variables `webhook_host` and `webhook_secret`.
    ///
    /// # Errors
    /// Which of them can't be used.
    pub fn parse(host: &str, secret: &str) -> Result<Self, Unusable> {
        let host = Url::parse(host).ok().filter(|url| is_safe(url) && url.path() == "/" && url.query().is_none());
        let host = host.ok_or(Unusable::Host)?;
        let secret = secret.strip_prefix("whsec_").and_then(|secret| STANDARD.decode(secret).ok());
        let secret = secret.filter(|secret| SECRET.contains(&secret.len())).ok_or(Unusable::Secret)?;
        Ok(Self { host, mac: Hmac::new_from_slice(&secret).map_err(|_| Unusable::Secret)? })
    }

    /// Reads the URL that a request names.
    ///
    /// # Errors
    /// 400 where it leads elsewhere.
    pub fn url(&self, text: &str) -> Result<Url, Error> {
        let url = Url::parse(text).ok().filter(is_safe).filter(|url| url.origin() == self.host.origin());
        url.ok_or_else(|| {
            let host = self.host.as_str().trim_end_matches('/');
            Error::invalid_value(
                "webhook_url",
                format!("Invalid 'webhook_url': this server sends webhooks to {host} only (variable webhook_host)."),
            )
        })
    }

    /// The value of `webhook-signature`.
    fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let signed = self.mac.clone().chain_update(format!("{id}.{timestamp}.")).chain_update(body);
        format!("v1,{}", STANDARD.encode(signed.finalize().into_bytes()))
    }

    /// Sends a message once.
    async fn send(&self, outside: &Outside, url: Url, id: &str, body: &Bytes) -> Result<StatusCode, TransportError> {
        let timestamp = outside.unix_time().as_secs();
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", self.sign(id, timestamp, body)),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let (method, body) = (Method::POST, Some(body.clone()));
        let message = Outbound { method, url, headers, body, connect_timeout: TIMEOUT, read_timeout: TIMEOUT };
        match timeout(outside, TIMEOUT, outside.send(message)).await {
            Ok(answer) => Ok(answer?.status),
            Err(_) => Err(TransportError::TimedOut("no answer".to_owned())),
        }
    }
}

/// Over TLS, or to this machine; without a user, who would be sent in clear.
fn is_safe(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let is_plain = url.username().is_empty() && url.password().is_none();
    is_plain && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback))
}

/// What is told.
#[derive(Serialize)]
struct Message<'a> {
    r#type: String,
    timestamp: String,
    data: &'a TaskObject,
}

impl Run {
    /// Tells the task's end to whoever asked for it.
    pub(super) async fn notify(&mut self) -> Result<(), Lost> {
        while let Some(webhook) = self.held.record.webhook.clone().filter(|webhook| !webhook.is_done) {
            let attempt = usize::try_from(webhook.attempts).unwrap_or(usize::MAX);
            let (Some(pause), Some(endpoint)) = (PAUSES.get(attempt), self.keeper.terms.webhooks.clone()) else {
                self.keeper.log_line(&self.name, "A webhook could not be delivered.", "it was tried often enough");
                self.webhook(|webhook| webhook.is_done = true).await?;
                break;
            };
            self.pause(*pause).await?;
            let outcome = match (endpoint.url(&webhook.url), self.message().await) {
                (Ok(url), Ok(body)) => {
                    let id = format!("evt_{}", self.name.digits());
                    match endpoint.send(&self.keeper.outside, url, &id, &body).await {
                        Ok(status) if status.is_success() => Ok(true),
                        // The receiver wants no more of them.
                        Ok(StatusCode::GONE) => Ok(false),
                        Ok(status) => Err(status.to_string()),
                        Err(error) => Err(error.to_string()),
                    }
                }
                // The variable has changed since: it won't change back soon.
                (Err(error), _) => {
                    self.keeper.log_error(&self.name, &error);
                    Ok(false)
                }
                (_, Err(error)) => Err(error.message),
            };
            if let Err(why) = &outcome {
                self.keeper.log_line(&self.name, "A webhook was not taken.", why);
            }
            self.webhook(|webhook| {
                webhook.attempts += 1;
                webhook.is_done = outcome.is_ok();
            })
            .await?;
        }
        Ok(())
    }

    async fn webhook(&mut self, change: impl FnOnce(&mut super::record::Webhook)) -> Result<(), Lost> {
        self.held.record.webhook.as_mut().map(change);
        if !self.held.record.wants_work() {
            self.held.record.lease = None;
        }
        self.keep_patiently().await
    }

    async fn message(&self) -> Result<Bytes, Error> {
        let record = &self.held.record;
        let links = self.keeper.links(&record.base).await?;
        let task = self.keeper.view(&self.name, record, &links);
        let message = Message {
            r#type: format!("image.task.{}", record.status.name()),
            timestamp: rfc3339(record.completed.unwrap_or_default()),
            data: &task,
        };
        let json = serde_json::to_vec(&message);
        json.map(Bytes::from).map_err(|error| Error::internal("A message could not be written.", error.to_string()))
    }
}

impl Keeper {
    /// Reads the webhook that a request names.
    ///
    /// # Errors
    /// 400 where this server can't send it.
    pub fn webhook_url(&self, text: &str) -> Result<Url, Error> {
        match &self.terms.webhooks {
            Some(endpoint) => endpoint.url(text),
            None => Err(Error::invalid_value(
                "webhook_url",
                "This server sends no webhooks. Its operator must set the variables webhook_host and webhook_secret. Poll the task, or follow its events.",
            )),
        }
    }
}

/// Seconds since the Unix epoch as RFC 3339 has them. Days become a date by Howard Hinnant's `civil_from_days`.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_message_is_signed_as_the_specifications_example() {
        let endpoint = Endpoint::parse("https://hooks.example", SECRET).unwrap();
        let signature = endpoint.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn messages_go_to_one_host_and_safely() {
        let endpoint = Endpoint::parse("https://hooks.example:8443", SECRET).unwrap();
        assert!(endpoint.url("https://HOOKS.example:8443/a?b=c").is_ok());
        for elsewhere in [
            "https://hooks.example/a",
            "http://hooks.example:8443/a",
            "https://evil.example:8443",
            "https://hooks.example:8443@evil.example/",
            "https://user@hooks.example:8443/",
            "file:///etc/passwd",
            "",
        ] {
            let error = endpoint.url(elsewhere).unwrap_err();
            assert_eq!((error.status.as_u16(), error.param), (400, Some("webhook_url")), "{elsewhere}");
        }
        for host in ["", "hooks.example", "http://hooks.example", "https://hooks.example/path", "http://10.0.0.1:80"] {
            assert_eq!(Endpoint::parse(host, SECRET).unwrap_err(), Unusable::Host, "{host}");
        }
        assert!(Endpoint::parse("http://127.0.0.1:9", SECRET).is_ok());
        for secret in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_?"] {
            assert_eq!(Endpoint::parse("https://a", secret).unwrap_err(), Unusable::Secret, "{secret}");
        }
    }

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
