//! The images in a function's outputs.
//!
//! An image comes as a `FileData`, a gallery as a list of them with captions, in the forms that Gradio 4 to 6 use;
//! other components wrap one: a slider of two is a pair, an editor has layers and what they compose, an annotated image
//! has annotations. Some apps return a file, or write images into HTML, text or JSON as data URLs. A null where an
//! image should be is no image, and a video among images is none of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::config::Base;
use super::discovery::signature::{Output, Signature};
use super::failure::Failure;
use super::file::RemoteFile;
use super::image_hosts::ImageHosts;
use crate::generation::{Format, Seed};

/// Words between a data URL's type and its data.
const BASE64: &str = ";base64,";
/// Length of a data URL up to its data at most, in characters, without `data:`.
const LONGEST_HEAD: usize = 48;
/// Number of images that are taken from one text at most.
const MOST_INLINE: usize = 64;

/// An image that a function has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picture {
    /// A file at the Space.
    File(RemoteFile),
    /// A file at another host, which the settings name. Nothing of the Space's goes there.
    Hosted(RemoteFile),
    /// The image itself, from a data URL.
    Inline(Bytes),
}

/// Places where a function's images may lie.
#[derive(Clone, Copy)]
struct Places<'a> {
    base: &'a Base,
    hosts: &'a ImageHosts,
}

/// The images in `outputs`, in order: at least one. They are files below `base`, or at `hosts`.
///
/// # Errors
/// [`Failure::NoImage`] where an image should be and isn't; [`Failure::Unreadable`] where what is there can't be
/// fetched.
pub fn pictures(
    base: &Base,
    hosts: &ImageHosts,
    signature: &Signature,
    outputs: &[Value],
) -> Result<Vec<Picture>, Failure> {
    let places = Places { base, hosts };
    let kinds = || signature.outputs.iter().zip(outputs);
    let mut lost = None;
    for (kind, value) in kinds() {
        let found = match kind {
            Output::Image => picture(places, value).into_iter().collect(),
            Output::Gallery => items(places, value),
            _ => Vec::new(),
        };
        // What can't be fetched of several loses none of the others.
        let (found, failures): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
        let found: Vec<_> = found.into_iter().filter_map(Result::ok).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        lost = lost.or_else(|| failures.into_iter().find_map(Result::err));
    }
    if let Some(failure) = lost {
        return Err(failure);
    }
    let written: Vec<_> = kinds()
        .filter(|(kind, _)| matches!(kind, Output::Markup | Output::Text))
        .flat_map(|(_, value)| inline_images(value))
        .collect();
    if !written.is_empty() {
        return Ok(written);
    }
    // A file to download may be the image, and so may what is in a component that is none of Gradio's own.
    for (kind, value) in kinds() {
        let found = match kind {
            Output::File => files(places, value)?,
            Output::Other => picture(places, value).transpose()?.into_iter().collect(),
            _ => Vec::new(),
        };
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(Failure::NoImage)
}

/// The seed in the outputs.
pub fn used_seed(signature: &Signature, outputs: &[Value]) -> Option<Seed> {
    let value = signature.outputs.iter().zip(outputs).find(|(kind, _)| **kind == Output::Seed)?.1;
    let whole = value.as_u64().or_else(|| format!("{:.0}", value.as_f64()?).parse().ok());
    let seed = whole.or_else(|| value.as_str()?.trim().parse().ok())?;
    Seed::new(u32::try_from(seed).ok()?)
}

/// Endings of files that galleries hold beside images.
const VIDEOS: [&str; 7] = [".mp4", ".webm", ".mov", ".mkv", ".avi", ".ogv", ".m4v"];
/// Fields of a value that wraps an image, the finished one first: of a gallery's item or an annotated image, and of an
/// editor.
const WRAPPED: [&str; 3] = ["image", "composite", "background"];
/// Wrappings of an image, at most.
const MOST_WRAPPED: usize = 4;

impl Places<'_> {
    /// The image that a `FileData` names.
    fn file(self, data: &Value) -> Result<Picture, Failure> {
        match RemoteFile::of_file_data(self.base, data) {
            Err(Failure::Elsewhere { host }) => {
                let urls = ["path", "url"].into_iter().filter_map(|name| data.get(name)?.as_str());
                let (origin, path) =
                    urls.filter_map(|url| self.hosts.find(url)).next().ok_or(Failure::Elsewhere { host })?;
                Ok(Picture::Hosted(RemoteFile { origin: origin.clone(), path }))
            }
            own => own.map(Picture::File),
        }
    }
}

/// The image that a component holds, where there is one.
fn picture(places: Places<'_>, value: &Value) -> Option<Result<Picture, Failure>> {
    wrapped(places, value, MOST_WRAPPED)
}

fn wrapped(places: Places<'_>, value: &Value, depth: usize) -> Option<Result<Picture, Failure>> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::Null => None,
        Value::String(text) => inline_image(text).map(|(bytes, _)| Ok(Picture::Inline(bytes))),
        // The two of a slider: before and after.
        Value::Array(pair) => pair
            .iter()
            .rev()
            .find_map(|value| wrapped(places, value, depth).filter(Result::is_ok))
            .or_else(|| pair.iter().rev().find_map(|value| wrapped(places, value, depth))),
        Value::Object(fields) if WRAPPED.iter().any(|name| fields.contains_key(*name)) => {
            WRAPPED.iter().find_map(|name| wrapped(places, fields.get(*name)?, depth))
        }
        Value::Object(fields) if fields.contains_key("video") => None,
        file if is_video(file) => None,
        file => Some(places.file(file)),
    }
}

/// The images of a gallery: items with captions, as objects since Gradio 4, as pairs before.
fn items(places: Places<'_>, value: &Value) -> Vec<Result<Picture, Failure>> {
    let Value::Array(items) = value else { return Vec::new() };
    let image = |item: &Value| match item {
        Value::Array(pair) => picture(places, pair.first()?),
        item => picture(places, item),
    };
    items.iter().filter_map(image).collect()
}

/// The files that are images, by their names or types.
fn files(places: Places<'_>, value: &Value) -> Result<Vec<Picture>, Failure> {
    let all = match value {
        Value::Array(files) => files.as_slice(),
        file => std::slice::from_ref(file),
    };
    let images = all.iter().filter(|file| {
        let text = |name: &str| file.get(name).and_then(Value::as_str);
        text("mime_type").is_some_and(|kind| kind.starts_with("image/"))
            || ["orig_name", "path"].into_iter().filter_map(text).any(|name| Format::of_name(name).is_some())
    });
    images.filter_map(|file| picture(places, file)).collect()
}

/// True for a file that is a video by its type or its name: Gradio 4 has them where a gallery's images are.
fn is_video(file: &Value) -> bool {
    let text = |name: &str| file.get(name).and_then(Value::as_str);
    let name = text("path").unwrap_or_default().to_ascii_lowercase();
    text("mime_type").is_some_and(|kind| kind.starts_with("video/")) || VIDEOS.iter().any(|end| name.ends_with(end))
}

/// All images that are written into a text, or into the texts of a JSON value.
fn inline_images(value: &Value) -> Vec<Picture> {
    match value {
        Value::String(text) => {
            let (mut found, mut rest) = (Vec::new(), text.as_str());
            while found.len() < MOST_INLINE
                && let Some(start) = rest.find("data:image/").and_then(|at| rest.get(at..))
            {
                // What is one image's is no other's.
                rest = match inline_image(start) {
                    Some((bytes, behind)) => {
                        found.push(Picture::Inline(bytes));
                        behind
                    }
                    None => start.get("data:".len()..).unwrap_or_default(),
                };
            }
            found
        }
        Value::Array(items) => items.iter().flat_map(inline_images).collect(),
        Value::Object(fields) => fields.values().flat_map(inline_images).collect(),
        _ => Vec::new(),
    }
}

/// The image in a text that begins with a data URL (RFC 2397) in base64, and the text behind it. What comes before its
/// data is looked for in the first bytes alone: a text may have many beginnings, and a search from each to the end
/// would never be done.
fn inline_image(text: &str) -> Option<(Bytes, &str)> {
    let url = text.strip_prefix("data:")?;
    let head = url.char_indices().take(LONGEST_HEAD).last().map_or(0, |(at, c)| at + c.len_utf8());
    let at = url.get(..head)?.find(BASE64)?;
    let (kind, data) = (url.get(..at)?, url.get(at + BASE64.len()..)?);
    if !kind.starts_with("image/") {
        return None;
    }
    let end = data.find(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c)).unwrap_or(data.len());
    let (data, behind) = data.split_at_checked(end)?;
    let bytes = STANDARD.decode(data).ok().map(Bytes::from).filter(|bytes| !bytes.is_empty())?;
    Some((bytes, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::space::Space;
    use serde_json::json;

    fn base() -> Base {
        Base::new(Space::parse("http://127.0.0.1:7860").unwrap().origin().clone(), "/gradio_api")
    }

    fn found(kinds: &[Output], outputs: Value) -> Result<Vec<String>, Failure> {
        let signature = Signature { inputs: vec![], outputs: kinds.to_vec(), generator: false };
        let hosts = ImageHosts::parse("https://cdn.example").unwrap();
        let pictures = pictures(&base(), &hosts, &signature, outputs.as_array().unwrap())?;
        let shown = |picture| match picture {
            Picture::File(file) => file.path.trim_start_matches("/gradio_api/file=").to_owned(),
            Picture::Hosted(file) => file.origin.url(&file.path).to_string(),
            Picture::Inline(bytes) => format!("{} bytes", bytes.len()),
        };
        Ok(pictures.into_iter().map(shown).collect())
    }

    #[test]
    fn images_are_found_in_every_form() {
        let file = |path: &str| json!({"path": path, "url": null, "meta": {"_type": "gradio.FileData"}});
        assert_eq!(found(&[Output::Image, Output::Seed], json!([file("/a.png"), 7])).unwrap(), ["/a.png"]);
        assert_eq!(found(&[Output::Seed, Output::Image], json!([7, file("/a.png")])).unwrap(), ["/a.png"]);
        let gallery =
            json!([[{"image": file("/a.png"), "caption": "x"}, {"image": file("/b.png"), "caption": null}], "text"]);
        assert_eq!(found(&[Output::Gallery, Output::Text], gallery).unwrap(), ["/a.png", "/b.png"]);
        assert_eq!(
            found(&[Output::Gallery], json!([[[file("/a.png"), "caption"], file("/b.png")]])).unwrap(),
            ["/a.png", "/b.png"]
        );
        assert_eq!(
            found(
                &[Output::Text],
                json!(["<img src=\"data:image/png;base64,iVBORw0KGgo=\"> and data:image/webp;base64,AAAA"])
            )
            .unwrap(),
            ["8 bytes", "3 bytes"]
        );
        assert_eq!(
            found(&[Output::Text], json!([{"images": [{"src": "data:image/png;base64,AAAA"}]}])).unwrap(),
            ["3 bytes"]
        );
        assert_eq!(found(&[Output::Image], json!(["data:image/png;base64,AAAA"])).unwrap(), ["3 bytes"]);
        assert_eq!(
            found(&[Output::Other], json!([[file("/before.png"), file("/after.png")]])).unwrap(),
            ["/after.png"]
        );
    }

    #[test]
    fn an_image_is_found_in_what_wraps_it() {
        let file = |path: &str| json!({"path": path, "url": null, "meta": {"_type": "gradio.FileData"}});
        let one = |kind, value: Value| found(&[kind], json!([value])).unwrap();
        assert_eq!(one(Output::Image, json!([file("/a.png"), file("/b.png")])), ["/b.png"]);
        assert_eq!(one(Output::Image, json!([null, file("/b.png")])), ["/b.png"]);
        assert_eq!(one(Output::Image, json!([file("/a.png"), null])), ["/a.png"]);
        let annotations = json!([{"image": file("/mask.png"), "label": "cat"}]);
        assert_eq!(one(Output::Image, json!({"image": file("/a.png"), "annotations": annotations})), ["/a.png"]);
        let layers = json!([file("/layer.png")]);
        let edited = json!({"background": file("/a.png"), "layers": layers, "composite": file("/c.png")});
        assert_eq!(one(Output::Image, edited), ["/c.png"]);
        let edited = json!({"background": file("/a.png"), "layers": [], "composite": null});
        assert_eq!(one(Output::Image, edited), ["/a.png"]);
        assert_eq!(one(Output::File, file("/a.png")), ["/a.png"]);
        assert_eq!(one(Output::File, json!([file("/notes.txt"), file("/a.webp")])), ["/a.webp"]);
        assert_eq!(found(&[Output::File], json!([file("/model.safetensors")])), Err(Failure::NoImage));
        let deep = (0..1000).fold(file("/a.png"), |value, _| json!([value]));
        assert_eq!(found(&[Output::Image], json!([deep])), Err(Failure::NoImage));
    }

    #[test]
    fn a_video_among_images_is_none_of_them() {
        let file = |path: &str| json!({"path": path, "url": null, "meta": {"_type": "gradio.FileData"}});
        let (image, late) = (json!({"image": file("/a.png")}), json!({"image": file("/b.png"), "caption": "x"}));
        for video in [json!({"video": file("/v.mp4"), "caption": null}), json!({"image": file("/v.MP4")})] {
            assert_eq!(found(&[Output::Gallery], json!([[image, video, late]])).unwrap(), ["/a.png", "/b.png"]);
            assert_eq!(found(&[Output::Gallery], json!([[video]])), Err(Failure::NoImage));
        }
        let unreadable = json!({"image": file("/a/../b.png")});
        assert_eq!(found(&[Output::Gallery], json!([[unreadable, late]])).unwrap(), ["/b.png"]);
    }

    #[test]
    fn an_image_at_another_host_is_found_where_that_is_listed() {
        let at = |url: &str| json!({"image": {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}});
        let (listed, other) = (at("https://cdn.example/a.png?x=1"), at("https://evil.example/cdn.example/a.png"));
        let found = |items: Value| found(&[Output::Gallery], json!([items]));
        assert_eq!(found(json!([other, listed])).unwrap(), ["https://cdn.example/a.png?x=1"]);
        let url_alone = json!({"image": {"path": null, "url": "https://cdn.example/b.png"}});
        assert_eq!(found(json!([url_alone])).unwrap(), ["https://cdn.example/b.png"]);
        assert_eq!(found(json!([other])), Err(Failure::Elsewhere { host: "evil.example".to_owned() }));
    }

    #[test]
    fn a_text_of_many_beginnings_is_read_in_one_go() {
        let text = "data:image/".repeat(3_000_000);
        assert_eq!(found(&[Output::Text], json!([text])), Err(Failure::NoImage));
        let images = "data:image/png;base64,AAAA ".repeat(1000);
        assert_eq!(found(&[Output::Text], json!([images])).unwrap().len(), MOST_INLINE);
        assert_eq!(found(&[Output::Text], json!(["data:image/é;base64,AAAA"])).unwrap().len(), 1);
        let within = "data:image/data:image/data:image/png;base64,AAAA";
        assert_eq!(found(&[Output::Text], json!([within])).unwrap().len(), 1, "the same data is one image");
    }

    #[test]
    fn no_image_is_told_as_such() {
        for (kinds, outputs) in [
            (&[Output::Image][..], json!([null])),
            (&[Output::Gallery], json!([[]])),
            (&[Output::Gallery], json!([null])),
            (&[Output::Text], json!(["done"])),
            (&[Output::Image], json!([])),
            (&[Output::Text], json!(["data:text/html;base64,AAAA"])),
            (&[Output::Text], json!(["data:image/png;base64,"])),
        ] {
            assert_eq!(found(kinds, outputs.clone()), Err(Failure::NoImage), "{outputs}");
        }
        assert!(matches!(found(&[Output::Image], json!([{"path": "/a/../b"}])), Err(Failure::Unreadable(_))));
    }

    #[test]
    fn the_used_seed_is_read() {
        let signature = Signature { inputs: vec![], outputs: vec![Output::Image, Output::Seed], generator: false };
        for (value, expected) in [
            (json!(42), Seed::new(42)),
            (json!(42.0), Seed::new(42)),
            (json!("42"), Seed::new(42)),
            (json!(-1), None),
            (json!(null), None),
        ] {
            assert_eq!(used_seed(&signature, &[Value::Null, value.clone()]), expected, "{value}");
        }
    }
}
