//! Listing of a key's history, the newest first, and removal of images from it.

use super::History;
use super::entry::{HistoryEntry, bit, fold};
use crate::platform::StoreError;
use crate::store::id::TimeId;
use crate::store::row::Columns;
use crate::store::statement::Argument;
use crate::store::statements::history;

/// Number of rows per read: a task's record may have 256 KB.
const ROWS: usize = 25;
/// Maximum length of a search text, in bytes: prompts have 32,000 characters at most, and SQLite's patterns 50,000
/// bytes.
const MAX_SEARCH: usize = 20_000;

/// Query for a page of the list.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Last image of the page before: id of its entry, and its index there.
    pub after: Option<(TimeId, u32)>,
    /// Text that prompts must contain; empty for all.
    pub search: String,
    /// Number of images of the page.
    pub limit: usize,
}

impl History {
    /// Entries of `owner`, the newest first: enough for more than `limit` images, if there are as many. `of_task`
    /// parses the record of a task.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn list(
        &self,
        owner: &str,
        query: &Query,
        of_task: impl Fn(&TimeId, &str) -> Option<HistoryEntry>,
    ) -> Result<Vec<(TimeId, HistoryEntry)>, StoreError> {
        if query.search.len() > MAX_SEARCH {
            return Ok(Vec::new());
        }
        let patterns: Vec<String> = if query.search.is_empty() { Vec::new() } else { vec![pattern(&query.search)] };
        let mut last = query.after.as_ref().map_or_else(|| TimeId::END.to_owned(), |(id, _)| id.to_string());
        let (mut entries, mut count, mut seen) = (Vec::new(), 0, query.after.as_ref().map(|(id, _)| id.clone()));
        loop {
            let parameters = vec![
                ("owner", owner.into()),
                ("last", last.clone().into()),
                ("patterns", Argument::list(patterns.iter().map(String::as_str))),
                ("most", crate::store::integer(ROWS).into()),
            ];
            let rows = self.store.query(&history::LIST, parameters).await?;
            let is_last = rows.len() < ROWS;
            for row in rows {
                let mut columns = Columns::of(row);
                let (kind, id, shown) = (columns.integer()?, columns.text()?, columns.integer()?);
                let text = columns.text()?;
                last.clone_from(&id);
                let Some(id) = TimeId::parse(&id) else { continue };
                let entry = if kind == 1 { of_task(&id, &text) } else { serde_json::from_str(&text).ok() };
                let Some(mut entry): Option<HistoryEntry> = entry else { continue };
                entry.images.retain(|image| bit(image.index).is_some_and(|bit| shown & bit != 0));
                // The first row repeats the last one of the page before.
                if seen.take_if(|seen| *seen == id).is_some() {
                    let index = query.after.as_ref().filter(|(after, _)| *after == id).map_or(0, |(_, index)| *index);
                    entry.images.retain(|image| image.index < index);
                }
                count += entry.images.len();
                entries.push((id, entry));
            }
            if is_last || count > query.limit {
                return Ok(entries);
            }
            seen = TimeId::parse(&last);
        }
    }

    /// Removes an image from the history. Returns false where it isn't there.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn hide(&self, owner: &str, id: &TimeId, index: u32) -> Result<bool, StoreError> {
        let Some(bit) = bit(index) else { return Ok(false) };
        let parameters = || vec![("bit", bit.into()), ("id", id.as_str().into()), ("owner", owner.into())];
        if let Some(row) = self.store.first(&history::HIDE, parameters()).await? {
            if Columns::of(row).integer()? == 0 {
                self.store.spawn(&history::DELETE, vec![("id", id.as_str().into())]);
            }
            return Ok(true);
        }
        Ok(self.store.first(&history::HIDE_OF_TASK, parameters()).await?.is_some())
    }
}

/// Pattern of texts that contain `search`, for `LIKE … ESCAPE '!'`.
fn pattern(search: &str) -> String {
    let mut pattern = String::from("%");
    for character in fold(search).chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_patterns_is_escaped() {
        assert_eq!(pattern("100%_Ä!"), "%100!%!_ä!!%");
    }
}
