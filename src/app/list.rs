//! Lists: what is asked of them, and how they are answered.

use serde::Serialize;
use url::form_urlencoded;

use super::Call;
use crate::error::Error;

/// Things that a page of a list has.
const PAGE: usize = 20;
/// Things that it may have.
const MAX_PAGE: usize = 100;

/// What a list is asked for.
pub(super) struct ListQuery {
    pub(super) limit: usize,
    pub(super) after: Option<String>,
    pub(super) status: Option<String>,
    pub(super) search: Option<String>,
}

impl ListQuery {
    pub(super) fn of(call: &Call) -> Result<Self, Error> {
        let limit = match Self::text(call, "limit").as_deref() {
            None | Some("") => PAGE,
            Some(text) => text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit)).ok_or_else(|| {
                let message = format!("Invalid value for 'limit'. Expected a whole number from 1 to {MAX_PAGE}.");
                Error::invalid_value("limit", message)
            })?,
        };
        let text = |name| Self::text(call, name).filter(|text| !text.is_empty());
        Ok(Self { limit, after: text("after"), status: text("status"), search: text("q") })
    }

    pub(super) fn text(call: &Call, name: &str) -> Option<String> {
        let query = call.head.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// A page of a list, as OpenAI's lists are.
#[derive(Debug, Serialize)]
pub(super) struct ListObject<T> {
    object: &'static str,
    data: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_id: Option<String>,
    has_more: bool,
}

impl<T> ListObject<T> {
    /// The first `limit` of `data`, whose ids `id` tells.
    pub(super) fn new(mut data: Vec<T>, limit: usize, id: impl Fn(&T) -> String) -> Self {
        let has_more = data.len() > limit;
        data.truncate(limit);
        let (first_id, last_id) = (data.first().map(&id), data.last().map(&id));
        Self { object: "list", data, first_id, last_id, has_more }
    }
}
