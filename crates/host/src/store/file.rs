//! Stores in a file: each is a table of an embedded database.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};

/// The file. It is made when a store is first used.
pub(super) struct File {
    directory: PathBuf,
    database: Mutex<Option<Arc<Database>>>,
}

fn table(store: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(store)
}

impl File {
    /// A file in `directory`.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), database: Mutex::default() }
    }

    /// The value under `key`.
    pub(super) fn get(&self, store: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let transaction = self.database()?.begin_read()?;
        match transaction.open_table(table(store)) {
            Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts `value` under `key`; it is on the disk when this returns.
    pub(super) fn set(&self, store: &str, key: &str, value: &[u8]) -> Result<()> {
        let transaction = self.database()?.begin_write()?;
        transaction.open_table(table(store))?.insert(key, value)?;
        Ok(transaction.commit()?)
    }

    /// Puts `value` under `key` if `expected` is there; returns whether it was. There is one writer at a time.
    pub(super) fn swap(&self, store: &str, key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool> {
        let transaction = self.database()?.begin_write()?;
        let is_there = {
            let mut table = transaction.open_table(table(store))?;
            let is_there = table.get(key)?.as_ref().map(|value| value.value()) == expected;
            if is_there {
                table.insert(key, value)?;
            }
            is_there
        };
        transaction.commit()?;
        Ok(is_there)
    }

    /// Takes what is under `key` away.
    pub(super) fn delete(&self, store: &str, key: &str) -> Result<()> {
        let transaction = self.database()?.begin_write()?;
        transaction.open_table(table(store))?.remove(key)?;
        Ok(transaction.commit()?)
    }

    /// All keys.
    pub(super) fn keys(&self, store: &str) -> Result<Vec<String>> {
        let transaction = self.database()?.begin_read()?;
        match transaction.open_table(table(store)) {
            Ok(table) => table.iter()?.map(|entry| Ok(entry?.0.value().to_owned())).collect(),
            Err(TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn database(&self) -> Result<Arc<Database>> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*database {
            return Ok(Arc::clone(database));
        }
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot make the state directory {}", self.directory.display()))?;
        let path = self.directory.join("key-value.redb");
        let opened = Database::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Arc::clone(database.insert(Arc::new(opened))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_apart_by_store_and_across_openings() {
        let directory = std::env::temp_dir().join(format!("z-image-host-store-{}", std::process::id()));
        let stores = File::new(&directory);
        assert_eq!(stores.get("default", "a").unwrap(), None);
        assert_eq!(stores.keys("default").unwrap(), [""; 0]);
        stores.set("default", "a", b"1").unwrap();
        stores.set("default", "a", b"2").unwrap();
        stores.set("other", "b", b"3").unwrap();
        drop(stores);
        let stores = File::new(&directory);
        assert_eq!(stores.get("default", "a").unwrap().as_deref(), Some(b"2".as_slice()));
        assert_eq!(stores.keys("default").unwrap(), ["a"]);
        assert!(
            !stores.swap("default", "a", None, b"4").unwrap()
                && !stores.swap("default", "a", Some(b"1"), b"4").unwrap()
        );
        assert!(
            stores.swap("default", "a", Some(b"2"), b"4").unwrap() && stores.swap("default", "c", None, b"5").unwrap()
        );
        assert_eq!(stores.get("default", "a").unwrap().as_deref(), Some(b"4".as_slice()));
        stores.delete("default", "a").unwrap();
        stores.delete("default", "never").unwrap();
        assert_eq!(stores.get("default", "a").unwrap(), None);
        drop(stores);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
