//! `POST /v1/images/generations`.

use std::rc::Rc;

use futures::StreamExt as _;
use serde::Serialize;
use serde_json::json;

use super::body::JsonBody;
use super::params::{ImageRequest, ResponseFormat};
use crate::dispatch::{Dispatcher, Event, EventKind, Image};
use crate::error::Error;
use crate::gradio::failure::Failure;
use crate::gradio::space::Space;
use crate::media::image::{Format, fetch};

/// An image as the answer has it.
struct Item {
    index: u32,
    seed: u32,
    format: Option<Format>,
    payload: Payload,
}

enum Payload {
    Base64(bytes::Bytes),
    Url(String),
}

/// What making and handing out images takes, from the app.
pub struct Context<'a> {
    /// Makes them.
    pub dispatcher: Rc<Dispatcher>,
    /// The largest that is passed on, in bytes.
    pub max_image_bytes: usize,
    /// Makes a link of an image.
    pub link: &'a dyn Fn(&Image) -> String,
}

/// Makes the images that `request` asks for on `space`, and writes the answer.
///
/// Where some are made and others fail, those made are answered, with the failures in `errors` beside `data`.
///
/// # Errors
/// Where none is made: the reason for the first.
pub async fn generate(context: Context<'_>, space: Space, request: ImageRequest) -> Result<JsonBody, Error> {
    let created = context.dispatcher.client().outside().unix_time().as_secs();
    let size = request.generation.size;
    let mut items = Vec::new();
    let mut failures: Vec<(u32, Failure)> = Vec::new();
    let events = Rc::clone(&context.dispatcher).run(space, request.generation);
    let mut outcomes = Box::pin(events.filter_map(|Event { index, kind }| {
        std::future::ready(match kind {
            EventKind::Progress(_) => None,
            EventKind::Made(image) => Some((index, Ok(image))),
            EventKind::Failed(failure) => Some((index, Err(failure))),
        })
    }));
    while let Some((index, outcome)) = outcomes.next().await {
        let item = match outcome {
            Ok(image) => item(&context, request.format, index, &image).await,
            Err(failure) => Err(failure),
        };
        match item {
            Ok(item) => items.push(item),
            Err(failure) => failures.push((index, failure)),
        }
    }
    items.sort_unstable_by_key(|item| item.index);
    failures.sort_unstable_by_key(|(index, _)| *index);
    if items.is_empty() {
        let first = failures.into_iter().next().map_or(Failure::NoImage, |(_, failure)| failure);
        return Err(first.into());
    }
    Ok(answer(created, &size.to_string(), items, failures))
}

/// Fetches an image, or makes a link of it, as the request asks.
async fn item(context: &Context<'_>, format: ResponseFormat, index: u32, image: &Image) -> Result<Item, Failure> {
    let seed = image.seed.get();
    match format {
        ResponseFormat::Url => {
            let format = Format::of_name(&image.file.path);
            Ok(Item { index, seed, format, payload: Payload::Url((context.link)(image)) })
        }
        ResponseFormat::Base64 => {
            let client = context.dispatcher.client();
            let (format, bytes) = fetch(client, &image.file, context.max_image_bytes).await?;
            Ok(Item { index, seed, format: Some(format), payload: Payload::Base64(bytes) })
        }
    }
}

fn answer(created: u64, size: &str, items: Vec<Item>, failures: Vec<(u32, Failure)>) -> JsonBody {
    let mut body = JsonBody::default();
    body.push_text(&format!("{{\"created\":{created},\"data\":["));
    let output_format = items.first().and_then(|item| item.format).map(Format::name);
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            body.push_text(",");
        }
        match item.payload {
            Payload::Base64(bytes) => {
                body.push_text("{\"b64_json\":\"");
                body.push_base64(bytes);
                body.push_text("\"");
            }
            Payload::Url(url) => body.push_text(&format!("{{\"url\":{}", json!(url))),
        }
        body.push_text(&format!(",\"seed\":{}}}", item.seed));
    }
    body.push_text(&format!("],\"size\":{}", json!(size)));
    if let Some(format) = output_format {
        body.push_text(&format!(",\"output_format\":{}", json!(format)));
    }
    if !failures.is_empty() {
        let errors: Vec<_> = failures.into_iter().map(|(index, failure)| ImageError::new(index, failure)).collect();
        body.push_text(&format!(",\"errors\":{}", json!(errors)));
    }
    body.push_text("}");
    body
}

/// Why an image of several is missing.
#[derive(Serialize)]
struct ImageError {
    /// Which, counted from 0.
    index: u32,
    message: String,
    r#type: &'static str,
    code: Option<&'static str>,
}

impl ImageError {
    fn new(index: u32, failure: Failure) -> Self {
        let error = Error::from(failure);
        Self { index, message: error.message, r#type: error.kind, code: error.code }
    }
}
