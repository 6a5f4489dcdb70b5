//! Answers that are written all at once.

use http::{HeaderName, Response};

use crate::http::json::JsonBody;
use crate::http::reply::{SERVER_TIMING, insert, json_body};
use crate::pipeline::Course;
use crate::platform::Content;

/// Names of the request's fields that changed nothing, separated by commas.
const IGNORED: HeaderName = HeaderName::from_static("x-ignored-parameters");
/// Number of ignored parameters that are named at most.
const MAX_IGNORED: usize = 20;
/// Length of an ignored parameter's name at most, in characters.
const MAX_NAME: usize = 64;

/// An answer that is written all at once.
pub struct ImageAnswer {
    /// Body.
    pub body: JsonBody,
    /// The request's fields that changed nothing, as they name no parameter of the Space.
    pub ignored: Vec<String>,
    /// Course of the image that was done last.
    pub course: Option<Course>,
}

impl ImageAnswer {
    /// The HTTP response, with the headers `x-ignored-parameters` and `Server-Timing`.
    pub fn into_response(self) -> Response<Content> {
        let mut response = json_body(self.body);
        if !self.ignored.is_empty() {
            insert(response.headers_mut(), IGNORED, &listed(&self.ignored));
        }
        if let Some(course) = self.course {
            insert(response.headers_mut(), SERVER_TIMING, &course.server_timing());
        }
        response
    }
}

/// Names for a header: the first few, and of each no more than anybody would call a parameter.
fn listed(names: &[String]) -> String {
    let short = names.iter().take(MAX_IGNORED).map(|name| name.chars().take(MAX_NAME).collect::<String>());
    let mut listed = short.collect::<Vec<_>>().join(", ");
    if names.len() > MAX_IGNORED {
        listed.push_str(", ...");
    }
    listed
}
