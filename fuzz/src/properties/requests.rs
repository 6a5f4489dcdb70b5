//! Bodies of requests in JSON, of every endpoint.

use serde_json::{Map, Value};
use z_image_2api::error::Error;
use z_image_2api::generation::{Purpose, Size};
use z_image_2api::http::attachments::{JsonReader, JsonText};
use z_image_2api::openai::chat::request::ChatRequest;
use z_image_2api::openai::conversation::intent::Intent;
use z_image_2api::openai::fields::Fields;
use z_image_2api::openai::image_request::ImageRequest;
use z_image_2api::openai::images::edit_request::EditRequest;
use z_image_2api::openai::responses::request::ResponseRequest;
use z_image_2api::openai::source::Source;
use z_image_2api::tasks::record::{NewTask, TaskRecord};

use super::{check_error, host};
use crate::chance::Chance;

/// A body: a request within its ranges, or an error of the 400s in OpenAI's shape. The first byte chooses the endpoint.
pub fn requests(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let text = read(&[body]);
    let cut = read(&Chance::of(data).pieces(body));
    assert_eq!((&text.text, &text.attachments), (&cut.text, &cut.attachments), "however it is cut");
    let read = match first % 4 {
        0 => images(&text.text),
        1 => edits(&text),
        2 => chats(&text),
        _ => responses(&text),
    };
    if let Err(error) = read {
        assert_eq!(error.status.as_u16(), 400, "{error:?}");
        check_error(&error);
    }
}

/// Reads a body in pieces, and holds that nothing of it is lost.
fn read(pieces: &[&[u8]]) -> JsonText {
    let host = host();
    let (mut reader, mut memory) = (JsonReader::default(), host.memory().none());
    for piece in pieces {
        reader.feed(piece, &mut memory);
    }
    let read = reader.finish(&mut memory);
    let whole = pieces.concat();
    assert!(read.text == whole || !read.attachments.is_empty());
    assert!(read.text.len() <= whole.len());
    read
}

fn images(body: &[u8]) -> Result<(), Error> {
    let fields = Fields::parse(body)?;
    let request = ImageRequest::read(&fields, &host())?;
    assert_eq!(request.purpose, Purpose::Generate);
    check_request(&request, fields.into_map());
    Ok(())
}

fn edits(body: &JsonText) -> Result<(), Error> {
    finish(EditRequest::read_json(body)?)
}

fn finish(mut request: EditRequest) -> Result<(), Error> {
    // Links are looked up among the server's own; here there are none.
    let foreign = request.sources().filter(|source| matches!(source, Source::Url(_))).count();
    let fields = request.fields().clone();
    let read = request.finish(&host())?;
    assert_eq!(foreign, 0, "a client's URL is fetched by nobody");
    assert_eq!(read.purpose, Purpose::Edit);
    check_request(&read, fields);
    Ok(())
}

fn conversation(intent: Intent) -> Result<(), Error> {
    match intent {
        Intent::Text(text) => assert!(text.len() < 1 << 20),
        Intent::Images(mut images) => {
            assert!(!images.is_sure || images.earlier.is_some() || images.request.sources().next().is_some());
            let fields = images.request.fields().clone();
            if images.request.sources().next().is_some() {
                return finish(images.request);
            }
            check_request(&ImageRequest::read(&Fields::new(fields.clone()), &host())?, fields);
        }
    }
    Ok(())
}

fn chats(body: &JsonText) -> Result<(), Error> {
    conversation(ChatRequest::parse(body)?.intent)
}

fn responses(body: &JsonText) -> Result<(), Error> {
    let request = ResponseRequest::parse(body)?;
    let repeated = serde_json::to_string(&request.repeated.tools).unwrap();
    assert!(repeated.len() <= body.text.len() * 6 + 2, "what is repeated is what was sent");
    conversation(request.intent)
}

/// Holds that a request is within its ranges, and that a task's record gives the same request again.
fn check_request(request: &ImageRequest, fields: Map<String, Value>) {
    let generation = &request.generation;
    assert!((1..=10).contains(&generation.count) && request.streaming.partial_images <= 3);
    assert!(!generation.prompt.trim().is_empty() && generation.prompt.chars().count() <= 32_000);
    assert!(generation.steps.is_none_or(|steps| (1..=1000).contains(&steps)));
    assert!(generation.guidance.is_none_or(|guidance| (0.0..=100.0).contains(&guidance)));
    assert!(generation.strength.is_none_or(|strength| (0.0..=1.0).contains(&strength)));
    assert!(generation.images.len() <= 16 || !generation.images.iter().any(|image| image.bytes.is_empty()));
    assert!(request.wanted.is_none_or(|wanted| wanted.quality <= 100));
    for name in ["prompt", "n", "seed", "model", "stream", "webhook_url", "priority", "image", "mask", ""] {
        assert!(!generation.extras.contains_key(name), "{name} is no Space's own");
    }
    let shaped = generation.aspect.map(|aspect| aspect.size(Size::USUAL));
    assert!(shaped.is_none_or(|size| Size::new(size.width(), size.height()).is_some()));
    let new = NewTask { model: "z".to_owned(), fields, base: String::new() };
    let record = TaskRecord::new(new, request, std::time::Duration::ZERO);
    let kept = serde_json::to_string(&record).unwrap();
    let read: TaskRecord = serde_json::from_str(&kept).expect("a task's record can be read");
    let again = ImageRequest::read(&Fields::new(read.fields), &host()).expect("a task's request can be read");
    assert_eq!((again.generation.seed, again.generation.size), (generation.seed, generation.size));
    assert_eq!((&again.generation.prompt, again.generation.count), (&generation.prompt, generation.count));
    assert_eq!(again.generation.extras.len(), generation.extras.len());
}
