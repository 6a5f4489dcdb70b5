//! `POST /v1/images/generations` and `POST /v1/images/edits`: making images, and answering them.

use std::rc::Rc;

use bytes::Bytes;
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::json;

use super::body::JsonBody;
use super::params::{ImageRequest, ResponseFormat};
use crate::catalog::Model;
use crate::dispatch::{Dispatcher, Event, EventKind, Image};
use crate::error::Error;
use crate::format::{Format, Wanted};
use crate::generation::Size;
use crate::gradio::arguments::unused;
use crate::gradio::failure::Failure;
use crate::gradio::file::RemoteFile;
use crate::gradio::result::Picture;
use crate::media::image;
use crate::media::transcode::transcode;

/// How many images are fetched at the same time.
const FETCHES_AT_ONCE: usize = 4;

/// An answer, and what it says beside its body.
pub struct Answer {
    /// The body.
    pub body: JsonBody,
    /// The request's fields that changed nothing, as they name no parameter of the Space.
    pub ignored: Vec<String>,
}

/// What making and handing out images takes, from the app.
pub struct Context<'a> {
    /// Makes them.
    pub dispatcher: Rc<Dispatcher>,
    /// The largest that is passed on, in bytes.
    pub max_image_bytes: usize,
    /// Makes a link to a file.
    pub link: &'a dyn Fn(&RemoteFile, Option<Wanted>) -> String,
}

/// An image as the answer has it.
struct Item {
    index: u32,
    seed: u32,
    size: Option<Size>,
    format: Option<Format>,
    payload: Payload,
}

enum Payload {
    Base64(Bytes),
    Url(String),
    /// A data URL: there is no file that a link could lead to.
    DataUrl(Format, Bytes),
}

/// Makes the images that `request` asks for with `model`, and writes the answer.
///
/// Where some are made and others fail, those made are answered, with the failures in `errors` beside `data`.
///
/// # Errors
/// Where none is made: the reason for the first.
pub async fn generate(context: Context<'_>, model: &Model, request: ImageRequest) -> Result<Answer, Error> {
    let created = context.dispatcher.client().outside().unix_time().as_secs();
    let mut generation = request.generation;
    model.defaults.fill(&mut generation);
    let maker = context.dispatcher.maker(model, request.purpose).await?;
    let ignored = unused(&maker.signature, &generation.extras).into_iter().map(str::to_owned).collect();

    let events = Rc::clone(&context.dispatcher).run(maker, generation);
    let outcomes = events.filter_map(|Event { index, kind }| {
        std::future::ready(match kind {
            EventKind::Progress(_) | EventKind::Partial(_) => None,
            EventKind::Made(image) => Some((index, Ok(image))),
            EventKind::Failed(failure) => Some((index, Err(failure))),
        })
    });
    let (context, format, wanted) = (&context, request.format, request.wanted);
    let items = outcomes.map(|(index, outcome)| async move {
        let item = match outcome {
            Ok(image) => item(context, format, wanted, index, *image).await,
            Err(failure) => Err(failure),
        };
        item.map_err(|failure| (index, failure))
    });
    let done: Vec<_> = items.buffer_unordered(FETCHES_AT_ONCE).collect().await;
    let (mut made, mut failures) = (Vec::new(), Vec::new());
    for item in done {
        match item {
            Ok(item) => made.push(item),
            Err(failure) => failures.push(failure),
        }
    }
    made.sort_unstable_by_key(|item| item.index);
    failures.sort_unstable_by_key(|(index, _)| *index);
    if made.is_empty() {
        let first = failures.into_iter().next().map_or(Failure::NoImage, |(_, failure)| failure);
        return Err(first.into());
    }
    Ok(Answer { body: body(created, made, failures), ignored })
}

/// Fetches an image, or makes a link of it, as the request asks.
async fn item(
    context: &Context<'_>,
    format: ResponseFormat,
    wanted: Option<Wanted>,
    index: u32,
    image: Image,
) -> Result<Item, Failure> {
    let seed = image.seed.get();
    let limit = context.max_image_bytes;
    let as_wanted = |(format, bytes)| match wanted {
        Some(wanted) => transcode(bytes, format, wanted),
        None => Ok((format, bytes)),
    };
    let (format, payload) = match (format, image.picture) {
        (ResponseFormat::Url, Picture::File(file)) => {
            let own = Format::of_name(&file.path);
            // What has the format by its name, or one that isn't read, needs no conversion on the way.
            let is_read = matches!(own, None | Some(Format::Png | Format::Webp));
            let wanted = wanted.filter(|wanted| is_read && own != Some(wanted.format));
            (wanted.map(|wanted| wanted.format).or(own), Payload::Url((context.link)(&file, wanted)))
        }
        (ResponseFormat::Url, Picture::Inline(bytes)) => {
            let (format, bytes) = as_wanted(image::inline(bytes, limit)?)?;
            (Some(format), Payload::DataUrl(format, bytes))
        }
        (ResponseFormat::Base64, Picture::Inline(bytes)) => {
            let (format, bytes) = as_wanted(image::inline(bytes, limit)?)?;
            (Some(format), Payload::Base64(bytes))
        }
        (ResponseFormat::Base64, Picture::File(file)) => {
            let client = context.dispatcher.client().for_space(&image.space);
            let (format, bytes) = as_wanted(image::fetch(&client, &file, limit).await?)?;
            (Some(format), Payload::Base64(bytes))
        }
    };
    let size = match &payload {
        Payload::Base64(bytes) | Payload::DataUrl(_, bytes) => image::size(bytes).or(image.size),
        Payload::Url(_) => image.size,
    };
    Ok(Item { index, seed, size, format, payload })
}

fn body(created: u64, items: Vec<Item>, failures: Vec<(u32, Failure)>) -> JsonBody {
    let mut body = JsonBody::default();
    body.push_text(&format!("{{\"created\":{created},\"data\":["));
    let first = items.first();
    let (format, size) = (first.and_then(|item| item.format), first.and_then(|item| item.size));
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
            Payload::DataUrl(format, bytes) => {
                body.push_text(&format!("{{\"url\":\"data:image/{};base64,", format.name()));
                body.push_base64(bytes);
                body.push_text("\"");
            }
            Payload::Url(url) => body.push_text(&format!("{{\"url\":{}", json!(url))),
        }
        body.push_text(&format!(",\"seed\":{}}}", item.seed));
    }
    body.push_text("]");
    if let Some(size) = size {
        body.push_text(&format!(",\"size\":{}", json!(size.to_string())));
    }
    if let Some(format) = format {
        body.push_text(&format!(",\"output_format\":{}", json!(format.name())));
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
