//! Checks that need no image.

use anyhow::Result;
use serde_json::Value;

use super::Finding;
use super::curl::{Request, Server, text};

/// Length of a body that stands for an image to edit, in bytes.
const BODY: usize = 3 << 20;

/// Time limits of what commonly stands before a server, by the beginning of the header `server`, in seconds.
const LIMITS: [(&str, u32); 4] = [("cloudflare", 100), ("AkamaiGHost", 30), ("awselb", 60), ("Google Frontend", 300)];

fn get<'a>(path: &'a str) -> Request<'a> {
    Request { method: "GET", path, ..Request::default() }
}

/// The liveness probe answers.
pub(super) fn reach(server: &Server) -> Finding {
    const ABOUT: &str = "reach";
    match server.ask_without_key(&get("/healthz")) {
        Err(error) => Finding::fault(ABOUT, format!("no answer: {error}. Is the address right, and its port open?")),
        Ok(answer) if text(&answer.json(), "/status") == "ok" => {
            let by = answer.head.get("server").unwrap_or_default();
            match LIMITS.iter().find(|(name, _)| by.starts_with(name)) {
                None => Finding::fine(ABOUT, "it answers"),
                Some((name, seconds)) => Finding::note(
                    ABOUT,
                    format!("it answers through {name}, which waits {seconds} s for an answer: stream, or use tasks"),
                ),
            }
        }
        Ok(answer) => Finding::fault(
            ABOUT,
            format!("{} from /healthz, which isn't the API's. The proxy is to pass every path on.", answer.said()),
        ),
    }
}

/// Nobody can read on the way what is sent.
pub(super) fn transport(server: &Server) -> Finding {
    let host = server.url.split("://").nth(1).unwrap_or_default().split(['/', ':']).next().unwrap_or_default();
    let is_near = ["localhost", "127.0.0.1", "[", "10.", "192.168."].iter().any(|near| host.starts_with(near));
    if server.url.starts_with("https://") {
        Finding::fine("tls", "the certificate is good")
    } else if is_near {
        Finding::note(
            "tls",
            "http:// within a machine or a private network; from elsewhere, put a proxy with TLS before it",
        )
    } else {
        Finding::fault("tls", "http:// sends keys and images in the clear: put a proxy with TLS before it")
    }
}

/// The key is asked for, and taken.
pub(super) fn key(server: &Server) -> Finding {
    const ABOUT: &str = "key";
    let judged = || -> Result<Finding> {
        let anybody = server.ask_without_key(&get("/v1/models"))?;
        let Some(key) = &server.key else {
            return Ok(match anybody.status {
                200 => {
                    Finding::note(ABOUT, "none is asked for: anybody who reaches the server makes images (auth=open)")
                }
                _ => Finding::fault(ABOUT, format!("{}. Give one with --key.", anybody.said())),
            });
        };
        let known = server.ask(&get("/v1/models"))?;
        if known.status == 200 {
            return Ok(match anybody.status {
                401 => Finding::fine(ABOUT, "it is asked for, and taken"),
                _ => Finding::note(ABOUT, "none is needed: anybody who reaches the server makes images (auth=open)"),
            });
        }
        let other = server.ask_without_key(&Request { headers: &[("x-api-key", key)], ..get("/v1/models") })?;
        Ok(match other.status {
            200 => Finding::fault(ABOUT, "the proxy takes the header Authorization away: have it pass it on"),
            _ => Finding::fault(ABOUT, format!("{} Is it in the variable api_keys?", known.said())),
        })
    };
    judged().unwrap_or_else(|error| Finding::fault(ABOUT, error.to_string()))
}

/// Pages of other origins may call, or may not.
pub(super) fn cors(server: &Server) -> Result<Finding> {
    const ABOUT: &str = "cors";
    let headers = [
        ("origin", "https://page.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let path = "/v1/images/generations";
    let answer = server.ask_without_key(&Request { method: "OPTIONS", path, headers: &headers, body: None })?;
    let allowed: Vec<_> = answer.head.all("access-control-allow-origin").collect();
    Ok(match *allowed {
        _ if !answer.is_ours() => Finding::fault(
            ABOUT,
            format!("the proxy answers OPTIONS itself (HTTP {}): have it pass the method on", answer.status),
        ),
        [] => Finding::note(
            ABOUT,
            "pages of other origins can't call the API; name them in cors_origins where they should",
        ),
        ["*"] => Finding::fine(ABOUT, "pages of every origin may call the API, with a key"),
        [_] => Finding::fine(ABOUT, "pages of some origins may call the API"),
        _ => Finding::fault(ABOUT, "access-control-allow-origin comes twice: the proxy is not to add it"),
    })
}

/// Images to edit get through.
pub(super) fn bodies(server: &Server) -> Result<Finding> {
    const ABOUT: &str = "bodies";
    let image = format!("data:image/png;base64,{}", "A".repeat(BODY));
    let body = format!(r#"{{"prompt":"a fox","image":"{image}"}}"#);
    let request = Request { method: "POST", path: "/v1/images/edits", body: Some(body), ..Request::default() };
    let answer = match server.ask(&request) {
        Ok(answer) => answer,
        Err(error) => return Ok(Finding::fault(ABOUT, format!("a body of 3 MB doesn't get through: {error}"))),
    };
    Ok(match answer.status {
        _ if !answer.is_ours() => Finding::fault(
            ABOUT,
            format!(
                "a proxy refuses a body of 3 MB with HTTP {}: allow 80 MB (client_max_body_size 80m)",
                answer.status
            ),
        ),
        400 => Finding::fine(ABOUT, "3 MB get through"),
        _ => Finding::fault(ABOUT, format!("a body of 3 MB: {}", answer.said())),
    })
}

/// State of each Space.
pub(super) fn spaces(server: &Server) -> Result<Vec<Finding>> {
    const ABOUT: &str = "spaces";
    let answer = server.ask(&get("/v1/spaces"))?;
    let listed = answer.json();
    let Some(spaces) = listed.get("data").and_then(Value::as_array) else {
        return Ok(vec![Finding::fault(ABOUT, answer.said())]);
    };
    if spaces.is_empty() {
        return Ok(vec![Finding::fault(ABOUT, "there is none: set the variable spaces")]);
    }
    let rest: Vec<_> = spaces.iter().filter(|space| text(space, "/state") == "cooling_down").collect();
    let mut findings: Vec<_> = rest
        .iter()
        .map(|space| {
            let why = format!("{}: {}", text(space, "/breaker/reason"), text(space, "/breaker/message"));
            Finding::note(ABOUT, format!("{} rests, {why}", text(space, "/id")))
        })
        .collect();
    findings.push(if rest.len() == spaces.len() {
        Finding::fault(ABOUT, "all rest: no image can be made; docs/troubleshooting.md has the reasons by name")
    } else {
        Finding::fine(ABOUT, format!("{} of {} take jobs", spaces.len() - rest.len(), spaces.len()))
    });
    Ok(findings)
}
