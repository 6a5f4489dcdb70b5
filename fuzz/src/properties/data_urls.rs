//! Images as text: data URLs that come in, base64 that goes out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::executor::block_on;
use serde_json::{Value, json};
use z_image_2api::gradio::config::Base;
use z_image_2api::gradio::discovery::signature::{Output, Signature};
use z_image_2api::gradio::image_hosts::ImageHosts;
use z_image_2api::gradio::result::{Picture, pictures};
use z_image_2api::http::attachments::Attachments;
use z_image_2api::http::json::JsonBody;
use z_image_2api::openai::source::{Source, image, source};
use z_image_2api::platform::read_to_end;

use super::{check_error, origin};

/// A text as a client's image and as a Space's output, and bytes as both would write them: what is written is read
/// again.
pub fn data_urls(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match source("image", &json!(text), &Attachments::default()) {
        Ok(Source::Url(url)) => assert!(!url.starts_with("data:")),
        Ok(Source::Bytes(bytes)) => {
            assert!(bytes.len() <= text.len());
            check_image(Source::Bytes(bytes));
        }
        Err(error) => check_error(&error),
    }
    let found = found(&text);
    assert!(found.iter().map(Bytes::len).sum::<usize>() <= text.len() && found.len() <= 64);

    let encoded = STANDARD.encode(data);
    for url in [format!("data:image/png;base64,{encoded}"), format!("data:image/x;charset=utf-8;base64,{encoded}")] {
        let Ok(Source::Bytes(read)) = source("image", &json!({"image_url": {"url": url}}), &Attachments::default())
        else {
            panic!("{url} is read")
        };
        assert_eq!(read, data);
        let made = self::found(&format!("<img src=\"{url}\">"));
        assert!(data.is_empty() == made.is_empty() && made.iter().all(|made| made == data), "{url}");
    }

    let mut body = JsonBody::default();
    body.push_object(|object| {
        object.field("text", &text);
        object.field_with("b64_json", |body| {
            body.push_base64_string(|body| body.push_base64(Bytes::copy_from_slice(data)))
        });
        object
            .field_with("url", |body| body.push_data_url("png", |body| body.push_base64(Bytes::copy_from_slice(data))));
    });
    let length = body.len();
    let written = block_on(read_to_end(body.into_stream(), usize::MAX)).unwrap();
    assert_eq!(written.len(), length, "the length that is announced is the one that is written");
    let read: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!((read["text"].as_str(), read["b64_json"].as_str()), (Some(&*text), Some(&*encoded)));
}

/// Images that are written into an output of HTML.
fn found(text: &str) -> Vec<Bytes> {
    let signature = Signature { inputs: vec![], outputs: vec![Output::Markup], generator: false };
    let base = Base::new(origin(), "");
    let pictures = pictures(&base, &ImageHosts::default(), &signature, &[json!(text)]).unwrap_or_default();
    let bytes = |picture| match picture {
        Picture::Inline(bytes) => bytes,
        Picture::File(file) | Picture::Hosted(file) => panic!("{file:?} in a text"),
    };
    pictures.into_iter().map(bytes).collect()
}

fn check_image(source: Source) {
    if let Err(error) = image("image", source) {
        check_error(&error);
    }
}
