//! Forms of requests for edits.

use futures::executor::block_on;
use z_image_2api::error::Error;
use z_image_2api::openai::images::form::read_form;
use z_image_2api::openai::source::Source;

use super::{body, check_error, host};
use crate::chance::Chance;

/// Bounds of a form and of an image in it, in bytes.
const BOUNDS: (usize, usize) = (6000, 600);

/// Fields and images of a form.
type Form = (Vec<(String, String)>, Vec<Vec<u8>>);

fn read(boundary: &str, pieces: &[&[u8]]) -> Result<Form, Error> {
    let mut request = block_on(read_form(&host(), body(pieces), boundary.to_owned(), BOUNDS.0, BOUNDS.1))?;
    let images = request.sources().map(|source| match source {
        Source::Bytes(bytes) => bytes.to_vec(),
        Source::Url(url) => panic!("{url} in a form"),
    });
    let images = images.collect();
    let fields = request.fields().iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    Ok((fields.collect(), images))
}

/// A form: read in the same way however it is cut, within its bounds, and with every part of a form that is made of the
/// input.
pub fn forms(data: &[u8]) {
    let whole = read("x", &[data]);
    let cut = read("x", &Chance::of(data).pieces(data));
    match (&whole, &cut) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        (Err(whole), Err(cut)) => {
            // A part that is too large may be told before or after a mistake behind it.
            assert!(whole.status == cut.status || data.len() > BOUNDS.1, "{whole:?} and {cut:?}");
            check_error(whole);
            check_error(cut);
        }
        (whole, cut) => panic!("{whole:?} in one piece and {cut:?} in many"),
    }
    if let Ok((fields, images)) = &whole {
        assert!(images.len() <= 17 && images.iter().all(|image| image.len() <= BOUNDS.1));
        assert!(fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= data.len());
    }
    made(data);
}

/// Writes the input as the parts of a form, and reads them again.
fn made(data: &[u8]) {
    const BOUNDARY: &str = "boundary-7f3a";
    let parts: Vec<&[u8]> = data.split(|byte| *byte == b'|').take(8).collect();
    let has = |text: &str| data.windows(text.len()).any(|window| window == text.as_bytes());
    // A part that names an image in place of one is another matter.
    if [BOUNDARY, "data:", "/v1/images/files/"].into_iter().any(has) || data.len() > BOUNDS.1 {
        return;
    }
    let mut form = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let head =
            if index % 2 == 0 { format!("name=\"f{index}\"") } else { "name=\"image[]\"; filename=\"a\"".to_owned() };
        form.extend(format!("--{BOUNDARY}\r\ncontent-disposition: form-data; {head}\r\n\r\n").bytes());
        form.extend_from_slice(part);
        form.extend(b"\r\n");
    }
    form.extend(format!("--{BOUNDARY}--\r\n").bytes());
    let is_text = parts.iter().step_by(2).all(|part| std::str::from_utf8(part).is_ok());
    let Ok((fields, images)) = read(BOUNDARY, &Chance::of(data).pieces(&form)) else {
        assert!(!is_text, "a form of texts and images is read");
        return;
    };
    let sent = parts.iter().skip(1).step_by(2).filter(|part| !part.is_empty());
    assert_eq!(images, sent.map(|part| part.to_vec()).collect::<Vec<_>>());
    let values: Vec<Vec<u8>> = fields.into_iter().map(|(_, value)| value.into_bytes()).collect();
    assert_eq!(values, parts.iter().step_by(2).map(|part| part.to_vec()).collect::<Vec<_>>());
}
