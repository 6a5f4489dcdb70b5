//! Outputs of a Space's function, and the images in them.

use serde_json::{Value, json};
use z_image_2api::bounded_json::JsonBounds;
use z_image_2api::gradio::config::Base;
use z_image_2api::gradio::discovery::signature::{Output, Signature};
use z_image_2api::gradio::file::RemoteFile;
use z_image_2api::gradio::image_hosts::ImageHosts;
use z_image_2api::gradio::result::{Picture, pictures, used_seed};
use z_image_2api::media::file::ImageFile;
use z_image_2api::media::link::Signer;

use super::origin;

/// Outputs, `{"kinds": [kind…], "data": [output…]}`: an image is a file of the Space that was asked, below the path of
/// its files, and a link can be made to it that leads there; or it is at a host that is listed; or it is something.
pub fn results(data: &[u8]) {
    let Ok(input) = JsonBounds::EVENT.parse::<Value>(data) else { return };
    let outputs: Vec<Output> = serde_json::from_value(input["kinds"].clone()).unwrap_or_default();
    let Some(data) = input["data"].as_array() else { return };
    let signature = Signature { inputs: vec![], outputs, generator: false };
    used_seed(&signature, data);
    let base = Base::new(origin(), "/gradio_api");
    let hosts = ImageHosts::parse("https://cdn.example").unwrap();
    let Ok(pictures) = pictures(&base, &hosts, &signature, data) else { return };
    assert!(!pictures.is_empty());
    for picture in pictures {
        match picture {
            Picture::Inline(bytes) => assert!(!bytes.is_empty()),
            Picture::File(file) => check_file(&file),
            Picture::Hosted(file) => {
                let url = file.origin.url(&file.path).origin();
                assert_eq!(url.ascii_serialization(), "https://cdn.example", "a host that is listed");
            }
        }
    }
}

/// Holds that a file is the Space's own, and what a link to it leads to.
fn check_file(file: &RemoteFile) {
    assert_eq!(file.origin, origin());
    assert!(file.path.starts_with("/gradio_api/file=") && file.path.is_ascii(), "{}", file.path);
    let url = file.origin.url(&file.path);
    assert_eq!(url.path(), file.path, "the path that is asked for is the one that was named");
    assert_eq!((url.query(), url.origin().ascii_serialization()), (None, origin().to_string()));
    let signer = Signer::new(b"0123456789abcdef").unwrap();
    let linked = &ImageFile::Space(file.clone());
    let token = signer.sign(linked, None, 1000);
    assert_eq!(signer.verify(&token, 1, [origin()].iter()).map(|link| link.file).as_ref(), Ok(linked));
    let again = RemoteFile::of_file_data(&Base::new(origin(), "/gradio_api"), &json!({"url": url.as_str()}));
    assert_eq!(again.as_ref(), Ok(file), "its URL names the same file");
}
