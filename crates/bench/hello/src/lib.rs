//! Answers every request with two words, but for a generation: that it has made at the Space of the variable `space`,
//! with no more than it takes to join a queue, read its events to the end and answer with the image's link. So it says
//! what a component on this host can do at best, by the SDK's own means.

use serde_json::{Value, json};
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{IntoResponse, Request, Response, get, post};

/// Number of the job in its session: each has one of its own.
const SESSION: &str = "0123456789ab";

#[spin_sdk::http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    if request.uri().path() != "/v1/images/generations" {
        return Ok(Response::new("Hello, world!".to_owned()));
    }
    let asked: Value = serde_json::from_slice(&request.into_body().bytes().await?)?;
    let space = spin_sdk::variables::get("space").await?;
    let job = json!({ "data": [asked["prompt"], 1024, 1024, 9, 42, false], "fn_index": 2, "session_hash": SESSION });
    let joined = post(format!("{space}/gradio_api/queue/join"), job.to_string()).await?;
    let joined: Value = serde_json::from_slice(&joined.into_body().bytes().await?)?;
    let events = get(format!("{space}/gradio_api/queue/data?session_hash={SESSION}")).await?;
    let events = events.into_body().bytes().await?;
    let events = events.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
    let mut read = events.filter_map(|event| serde_json::from_slice::<Value>(event).ok());
    let done = read.find(|event| event["event_id"] == joined["event_id"] && event["msg"] == "process_completed");
    let url = done.as_ref().map(|done| &done["output"]["data"][0]["url"]);
    Ok(Response::new(json!({ "created": 1_764_028_800, "data": [{ "url": url }] }).to_string()))
}
