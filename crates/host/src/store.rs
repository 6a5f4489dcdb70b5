//! Key-value stores: each a table in one file of an embedded database, or a Redis server that several hosts share.

mod file;
mod redis;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use self::file::File;
use self::redis::Redis;
use crate::runtime_config::{RuntimeConfig, StoreConfig};

/// The stores of an application, by their labels.
pub(crate) struct Stores {
    /// What holds every store that the runtime configuration doesn't name.
    file: Arc<File>,
    redis: BTreeMap<String, Redis>,
}

impl Stores {
    /// Stores as `config` says, and else in a file in `directory`, which is made when it is first used.
    pub(crate) fn new(directory: &Path, config: &RuntimeConfig) -> Result<Self> {
        let mut redis = BTreeMap::new();
        for (label, store) in &config.key_value_store {
            match store {
                StoreConfig::Redis { url } => {
                    redis.insert(label.clone(), Redis::new(url)?);
                }
                StoreConfig::Spin {} => {}
            }
        }
        Ok(Self { file: Arc::new(File::new(directory)), redis })
    }

    /// The value under `key`.
    pub(crate) async fn get(&self, store: &str, key: String) -> Result<Option<Vec<u8>>> {
        match self.redis.get(store) {
            Some(redis) => redis.get(&key).await,
            None => self.blocking(store, move |file, store| file.get(store, &key)).await,
        }
    }

    /// Puts `value` under `key`; it is kept when this returns.
    pub(crate) async fn set(&self, store: &str, key: String, value: Vec<u8>) -> Result<()> {
        match self.redis.get(store) {
            Some(redis) => redis.set(&key, &value).await,
            None => self.blocking(store, move |file, store| file.set(store, &key, &value)).await,
        }
    }

    /// Puts `value` under `key` if `expected` is there, in one step; returns whether it was.
    pub(crate) async fn swap(
        &self,
        store: &str,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool> {
        match self.redis.get(store) {
            Some(redis) => redis.swap(&key, expected.as_deref(), &value).await,
            None => self.blocking(store, move |file, store| file.swap(store, &key, expected.as_deref(), &value)).await,
        }
    }

    /// Takes what is under `key` away.
    pub(crate) async fn delete(&self, store: &str, key: String) -> Result<()> {
        match self.redis.get(store) {
            Some(redis) => redis.delete(&key).await,
            None => self.blocking(store, move |file, store| file.delete(store, &key)).await,
        }
    }

    /// All keys.
    pub(crate) async fn keys(&self, store: &str) -> Result<Vec<String>> {
        match self.redis.get(store) {
            Some(redis) => redis.keys().await,
            None => self.blocking(store, |file, store| file.keys(store)).await,
        }
    }

    /// Does `work`, which may wait for the disk, on a thread where waiting is allowed.
    async fn blocking<R: Send + 'static>(
        &self,
        store: &str,
        work: impl FnOnce(&File, &str) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (file, store) = (Arc::clone(&self.file), store.to_owned());
        tokio::task::spawn_blocking(move || work(&file, &store)).await?
    }
}
