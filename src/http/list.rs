//! Lists: their query parameters, and their pages.

use serde::Serialize;
use serde_with::skip_serializing_none;
use url::form_urlencoded;

use crate::error::Error;

/// Default length of a page.
const PAGE: usize = 20;
/// Greatest length of a page.
const MAX_PAGE: usize = 100;

/// Query parameters of a list.
pub struct ListQuery {
    /// Length of the page.
    pub limit: usize,
    /// Id of the last element that the client has seen.
    pub after: Option<String>,
    /// Status of the elements.
    pub status: Option<String>,
    /// Text that the elements contain.
    pub search: Option<String>,
}

impl ListQuery {
    /// Parses a query string.
    ///
    /// # Errors
    /// 400 where `limit` is no number, or out of range.
    pub fn parse(query: &str) -> Result<Self, Error> {
        let limit = match query_value(query, "limit").as_deref() {
            None | Some("") => PAGE,
            Some(text) => text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit)).ok_or_else(|| {
                let message = format!("Invalid value for 'limit'. Expected a whole number from 1 to {MAX_PAGE}.");
                Error::invalid_value("limit", message)
            })?,
        };
        let text = |name| query_value(query, name).filter(|text| !text.is_empty());
        Ok(Self { limit, after: text("after"), status: text("status"), search: text("q") })
    }
}

/// Value of a query string's parameter.
pub fn query_value(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Page of a list, in OpenAI's shape.
#[skip_serializing_none]
#[derive(Debug, Serialize)]
pub struct ListObject<T> {
    object: &'static str,
    data: Vec<T>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

impl<T> ListObject<T> {
    /// The first `limit` of `data`; `id` gives their ids.
    pub fn new(mut data: Vec<T>, limit: usize, id: impl Fn(&T) -> String) -> Self {
        let has_more = data.len() > limit;
        data.truncate(limit);
        let (first_id, last_id) = (data.first().map(&id), data.last().map(&id));
        Self { object: "list", data, first_id, last_id, has_more }
    }
}
