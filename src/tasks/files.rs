//! Image files of tasks in the database, in parts: inputs of requests, and outputs that Spaces have sent inline.

use bytes::Bytes;

use super::record::TaskRecord;
use super::store::TaskStore;
use crate::platform::{StoreError, Value};
use crate::store::id::TimeId;
use crate::store::row::Columns;
use crate::store::statement::Argument;
use crate::store::statements::tasks;
use crate::store::{integer, milliseconds};

/// Size of a part, in bytes.
const PART: usize = 1 << 20;

/// Name of a request's mask.
pub const MASK: &str = "mask";

/// Name of a request's input image.
pub fn input(index: u32) -> String {
    format!("in{index}")
}

impl TaskStore {
    /// Adds a file to a task. It expires at `until`.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn add_file(
        &self,
        task: &TimeId,
        name: &str,
        bytes: &Bytes,
        until: std::time::Duration,
    ) -> Result<(), StoreError> {
        // An empty part marks the end of a file whose last part is full.
        for number in 0..=bytes.len() / PART {
            let part = bytes.slice(number * PART..bytes.len().min((number + 1) * PART));
            let parameters = vec![
                ("task", task.as_str().into()),
                ("name", name.into()),
                ("part", integer(number).into()),
                ("bytes", Value::Blob(part.into()).into()),
                ("expires", milliseconds(until).into()),
            ];
            self.store.query(&tasks::ADD_PART, parameters).await?;
        }
        Ok(())
    }

    /// Reads a file of a task; none where a part is missing.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn file(&self, task: &TimeId, name: &str) -> Result<Option<Bytes>, StoreError> {
        let mut bytes = Vec::new();
        for number in 0_i64.. {
            let parameters = vec![("task", task.as_str().into()), ("name", name.into()), ("part", number.into())];
            let Some(row) = self.store.first(&tasks::READ_PART, parameters).await? else { return Ok(None) };
            let part = Columns::of(row).blob()?;
            bytes.extend_from_slice(&part);
            if part.len() < PART {
                break;
            }
        }
        Ok(Some(Bytes::from(bytes)))
    }

    /// Deletes the input files of a task in the background, unless its images are still to be made.
    pub fn spawn_delete_inputs(&self, task: &TimeId, record: &TaskRecord) {
        let mut names: Vec<String> = (0..record.inputs).map(input).collect();
        names.extend(record.has_mask.then(|| MASK.to_owned()));
        if !names.is_empty() {
            let parameters = vec![("task", task.as_str().into()), ("names", Argument::list(names))];
            self.store.spawn(&tasks::DELETE_FILES, parameters);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::platform::sim::World;
    use crate::store::tests::store;

    #[test]
    fn files_are_kept_in_parts() {
        let world = World::new(1);
        let (tasks, id) = (TaskStore::new(&store(&world)), TimeId::new(&world.host()));
        world.run(async move {
            for (number, length) in [0, 1, PART - 1, PART, PART + 1, 2 * PART].into_iter().enumerate() {
                let bytes = Bytes::from((0..length).map(|i| i.to_le_bytes()[0]).collect::<Vec<_>>());
                let name = format!("in{number}");
                tasks.add_file(&id, &name, &bytes, Duration::from_secs(1)).await.unwrap();
                assert_eq!(tasks.file(&id, &name).await.unwrap(), Some(bytes), "{length}");
            }
            assert_eq!(tasks.file(&id, "in9").await.unwrap(), None);
        });
    }
}
