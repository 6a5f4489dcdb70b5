//! Signed links, and the other things that come in a URL.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use z_image_2api::generation::{Format, TargetFormat};
use z_image_2api::gradio::file::RemoteFile;
use z_image_2api::http::list::ListQuery;
use z_image_2api::http::path::RequestPath;
use z_image_2api::media::file::ImageFile;
use z_image_2api::media::link::{InvalidLink, Signer};

use super::{check_error, origin};

/// Patterns of routes.
const PATTERNS: [&str; 6] =
    ["/v1/models/{id*}", "/v1/images/files/{token}", "/v1/tasks/{id}/events", "/v1/images/{id}", "/healthz", "/"];

/// A token is good only if it was signed: nobody else's, no changed one and no other way to write the same. A path
/// matches a pattern with a part of itself.
pub fn links(data: &[u8]) {
    let signer = Signer::new(b"0123456789abcdef").unwrap();
    let origins = [origin()];
    let verified = |token: &str, now| signer.verify(token, now, origins.iter());
    let text = String::from_utf8_lossy(data);
    for token in [text.to_string(), URL_SAFE_NO_PAD.encode(data)] {
        assert_eq!(verified(&token, 0), Err(InvalidLink::Forged));
    }

    let path = format!("/{}", URL_SAFE_NO_PAD.encode(data.get(..data.len().min(300)).unwrap_or_default()));
    let file = ImageFile::Space(RemoteFile { origin: origin(), path });
    let number = |at: usize| data.get(at).copied().unwrap_or_default();
    let format = [Format::Png, Format::Jpeg, Format::Webp][usize::from(number(0)) % 3];
    let wanted = (number(1) % 2 == 0).then_some(TargetFormat { format, quality: number(2) % 101 });
    let expires = 1 + u64::from(number(3));
    let token = signer.sign(&file, wanted, expires);
    let link = verified(&token, expires - 1).expect("a signed token is good");
    assert_eq!((&link.file, link.wanted, link.expires), (&file, wanted, expires));
    assert_eq!(verified(&token, expires), Err(InvalidLink::Expired));

    let mut changed = token.into_bytes();
    let at = usize::from(number(4)) % changed.len();
    let old = std::mem::replace(&mut changed[at], number(5));
    if let Ok(changed) = String::from_utf8(changed)
        && number(5) != old
    {
        assert_eq!(verified(&changed, 0), Err(InvalidLink::Forged), "{changed}");
    }

    let path = RequestPath::parse(&text);
    for parameter in PATTERNS.iter().filter_map(|pattern| path.parameter(pattern)) {
        assert!(text.contains(parameter));
    }
    match ListQuery::parse(&text) {
        Ok(query) => assert!((1..=100).contains(&query.limit)),
        Err(error) => check_error(&error),
    }
}
