//! The images in a function's outputs.
//!
//! An image comes as a `FileData`, a gallery as a list of them with captions, in the forms that Gradio 4 to 6 use; some
//! apps write images into HTML, text or JSON as data URLs. A null where an image should be is no image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::config::Base;
use super::discovery::signature::{Output, Signature};
use super::failure::Failure;
use super::file::RemoteFile;
use crate::generation::Seed;

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
    /// The image itself, from a data URL.
    Inline(Bytes),
}

/// The images in `outputs`, in order: at least one.
///
/// # Errors
/// [`Failure::NoImage`] where an image should be and isn't; [`Failure::Unreadable`] where what is there can't be
/// fetched.
pub fn pictures(base: &Base, signature: &Signature, outputs: &[Value]) -> Result<Vec<Picture>, Failure> {
    let kinds = || signature.outputs.iter().zip(outputs);
    for (kind, value) in kinds() {
        let found = match kind {
            Output::Image => picture(base, value).transpose()?.into_iter().collect(),
            Output::Gallery => gallery(base, value)?,
            _ => Vec::new(),
        };
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let written: Vec<_> = kinds()
        .filter(|(kind, _)| matches!(kind, Output::Markup | Output::Text))
        .flat_map(|(_, value)| inline_images(value))
        .collect();
    if !written.is_empty() {
        return Ok(written);
    }
    // An app may put its image into a component that is none of ours, such as a slider of two.
    for (kind, value) in kinds() {
        if *kind == Output::Other
            && let Value::Array(items) = value
            && let Some(last) = items.last()
            && let Some(found) = picture(base, last).transpose()?
        {
            return Ok(vec![found]);
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

/// An image, where there is one.
fn picture(base: &Base, value: &Value) -> Option<Result<Picture, Failure>> {
    match value {
        Value::Null => None,
        Value::String(text) => inline_image(text).map(|(bytes, _)| Ok(Picture::Inline(bytes))),
        // A gallery's item, with its caption: as an object since Gradio 4, as a pair before.
        Value::Object(fields) if fields.contains_key("image") => picture(base, fields.get("image")?),
        Value::Array(pair) => picture(base, pair.first()?),
        file => Some(RemoteFile::of_file_data(base, file).map(Picture::File)),
    }
}

fn gallery(base: &Base, value: &Value) -> Result<Vec<Picture>, Failure> {
    match value {
        Value::Array(items) => items.iter().filter_map(|item| picture(base, item)).collect(),
        _ => Ok(Vec::new()),
    }
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
        Base::new(Space::parse("http://127.0.0.1:7860").unwrap().origin().clone(), "/gradio_api".into())
    }

    fn found(kinds: &[Output], outputs: Value) -> Result<Vec<String>, Failure> {
        let signature = Signature { inputs: vec![], outputs: kinds.to_vec(), generator: false };
        let pictures = pictures(&base(), &signature, outputs.as_array().unwrap())?;
        let shown = |picture| match picture {
            Picture::File(file) => file.path.trim_start_matches("/gradio_api/file=").to_owned(),
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
