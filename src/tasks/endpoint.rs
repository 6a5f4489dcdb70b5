//! Endpoint of webhooks.
//!
//! Messages are signed by Standard Webhooks 1.0 (<https://www.standardwebhooks.com>): `webhook-id`, the same for all
//! attempts, `webhook-timestamp`, and in `webhook-signature` the HMAC-SHA-256 of both and the body. They go only to the
//! one host that the operator has configured: a client must not choose where this server connects to.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sha2::Sha256;
use url::Url;

use crate::error::Error;
use crate::platform::{Host, Outbound, TransportError, timeout};
use crate::safe_url::is_safe;

/// Time limit of a response; Standard Webhooks recommends 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Length of the secret, in bytes, by Standard Webhooks.
const SECRET: std::ops::RangeInclusive<usize> = 24..=64;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("z-image-2api/", env!("CARGO_PKG_VERSION")));

/// Host and signing key of webhooks.
#[derive(Clone)]
pub struct WebhookEndpoint {
    /// Origin, as in the manifest's list of allowed hosts.
    host: Url,
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for WebhookEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", self.host)
    }
}

/// Invalid configuration of the endpoint.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unusable {
    /// Invalid host.
    #[error(
        "webhook_host must be like https://hooks.example, without a path, or http:// with a loopback address; \
         no webhooks are sent"
    )]
    Host,
    /// Invalid secret.
    #[error("webhook_secret must be whsec_ and 24 to 64 bytes in base64; no webhooks are sent")]
    Secret,
}

impl WebhookEndpoint {
    /// Parses the variables `webhook_host` and `webhook_secret`.
    ///
    /// # Errors
    /// The invalid one of them.
    pub fn parse(host: &str, secret: &str) -> Result<Self, Unusable> {
        let host = Url::parse(host).ok().filter(|url| is_safe(url) && url.path() == "/" && url.query().is_none());
        let host = host.ok_or(Unusable::Host)?;
        let secret = secret.strip_prefix("whsec_").and_then(|secret| STANDARD.decode(secret).ok());
        let secret = secret.filter(|secret| SECRET.contains(&secret.len())).ok_or(Unusable::Secret)?;
        Ok(Self { host, mac: Hmac::new_from_slice(&secret).map_err(|_| Unusable::Secret)? })
    }

    /// Origin of the host.
    pub fn origin(&self) -> url::Origin {
        self.host.origin()
    }

    /// Parses the URL of a request.
    ///
    /// # Errors
    /// 400 for another host.
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

    /// Value of `webhook-signature`.
    fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let signed = self.mac.clone().chain_update(format!("{id}.{timestamp}.")).chain_update(body);
        format!("v1,{}", STANDARD.encode(signed.finalize().into_bytes()))
    }

    /// Sends a message once.
    pub(super) async fn send(
        &self,
        host: &Host,
        url: Url,
        id: &str,
        body: &Bytes,
    ) -> Result<StatusCode, TransportError> {
        let timestamp = host.unix_time().as_secs();
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
        let message = Outbound {
            method,
            url,
            headers,
            body,
            connect_timeout: TIMEOUT,
            head_timeout: TIMEOUT,
            read_timeout: TIMEOUT,
            on_sent: None,
            span: None,
        };
        match timeout(host, TIMEOUT, host.send(message)).await {
            Ok(answer) => Ok(answer?.status),
            Err(_) => Err(TransportError::TimedOut("no answer".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_message_is_signed_as_the_specifications_example() {
        let endpoint = WebhookEndpoint::parse("https://hooks.example", SECRET).unwrap();
        let signature = endpoint.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn messages_go_to_one_host_and_safely() {
        let endpoint = WebhookEndpoint::parse("https://hooks.example:8443", SECRET).unwrap();
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
            assert_eq!(WebhookEndpoint::parse(host, SECRET).unwrap_err(), Unusable::Host, "{host}");
        }
        assert!(WebhookEndpoint::parse("http://127.0.0.1:9", SECRET).is_ok());
        for secret in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_?"] {
            assert_eq!(WebhookEndpoint::parse("https://a", secret).unwrap_err(), Unusable::Secret, "{secret}");
        }
    }
}
