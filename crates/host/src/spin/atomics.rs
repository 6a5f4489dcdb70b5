//! `wasi:keyvalue`, as far as it takes to swap a value for another one.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{HasSelf, Linker, Resource};

use super::OpenStore;
use super::bindings::wasi::keyvalue::atomics::{self, CasError};
use super::bindings::wasi::keyvalue::store::{self, Error, KeyResponse};
use crate::runtime::Guest;
use crate::store::Stores;

/// A swap in preparation: a key, and what was seen there.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Cas {
    label: String,
    key: String,
    /// `None` until somebody has looked.
    seen: Mutex<Option<Option<Vec<u8>>>>,
}

type Answer<T> = wasmtime::Result<Result<T, Error>>;

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    atomics::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

fn told<T>(done: anyhow::Result<T>) -> Result<T, Error> {
    done.map_err(|error| Error::Other(format!("{error:#}")))
}

impl Guest {
    fn opened(&self, bucket: &Resource<OpenStore>) -> wasmtime::Result<(Arc<Stores>, String)> {
        Ok((Arc::clone(&self.spin.stores), self.table.get(bucket)?.label.clone()))
    }

    fn prepared(&self, cas: &Resource<Cas>) -> wasmtime::Result<(Arc<Stores>, String, String)> {
        let cas = self.table.get(cas)?;
        Ok((Arc::clone(&self.spin.stores), cas.label.clone(), cas.key.clone()))
    }
}

impl store::Host for Guest {
    async fn open(&mut self, identifier: String) -> Answer<Resource<OpenStore>> {
        if !self.spin.allowed_stores.contains(&identifier) {
            return Ok(Err(Error::AccessDenied));
        }
        Ok(self.table.push(OpenStore { label: identifier }).map_err(|error| Error::Other(error.to_string())))
    }
}

impl store::HostBucket for Guest {
    async fn get(&mut self, bucket: Resource<OpenStore>, key: String) -> Answer<Option<Vec<u8>>> {
        let (stores, label) = self.opened(&bucket)?;
        Ok(told(stores.get(&label, key).await))
    }

    async fn set(&mut self, bucket: Resource<OpenStore>, key: String, value: Vec<u8>) -> Answer<()> {
        let (stores, label) = self.opened(&bucket)?;
        Ok(told(stores.set(&label, key, value).await))
    }

    async fn delete(&mut self, bucket: Resource<OpenStore>, key: String) -> Answer<()> {
        let (stores, label) = self.opened(&bucket)?;
        Ok(told(stores.delete(&label, key).await))
    }

    async fn exists(&mut self, bucket: Resource<OpenStore>, key: String) -> Answer<bool> {
        let (stores, label) = self.opened(&bucket)?;
        Ok(told(stores.get(&label, key).await.map(|value| value.is_some())))
    }

    async fn list_keys(&mut self, bucket: Resource<OpenStore>, cursor: Option<String>) -> Answer<KeyResponse> {
        if cursor.is_some() {
            return Ok(Err(Error::Other("there is one page of keys".to_owned())));
        }
        let (stores, label) = self.opened(&bucket)?;
        Ok(told(stores.keys(&label).await).map(|keys| KeyResponse { keys, cursor: None }))
    }

    async fn drop(&mut self, bucket: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Guest {
    async fn increment(&mut self, bucket: Resource<OpenStore>, key: String, delta: i64) -> Answer<i64> {
        let (stores, label) = self.opened(&bucket)?;
        loop {
            let current = match told(stores.get(&label, key.clone()).await) {
                Ok(current) => current,
                Err(error) => return Ok(Err(error)),
            };
            // As in Spin's own store: eight bytes, the lowest first.
            let number = match current.as_deref().map(<[u8; 8]>::try_from) {
                None => 0,
                Some(Ok(bytes)) => i64::from_le_bytes(bytes),
                Some(Err(_)) => return Ok(Err(Error::Other("the value is no number".to_owned()))),
            };
            let Some(sum) = number.checked_add(delta) else {
                return Ok(Err(Error::Other("the number would be too large".to_owned())));
            };
            match told(stores.swap(&label, key.clone(), current, sum.to_le_bytes().to_vec()).await) {
                Ok(true) => return Ok(Ok(sum)),
                Ok(false) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), CasError>> {
        let Cas { label, key, seen } = self.table.delete(cas)?;
        let stores = Arc::clone(&self.spin.stores);
        let Some(seen) = seen.into_inner().unwrap_or_else(PoisonError::into_inner) else {
            return Ok(Err(CasError::StoreError(Error::Other("`current` comes before a swap".to_owned()))));
        };
        match told(stores.swap(&label, key.clone(), seen, value).await) {
            Ok(true) => Ok(Ok(())),
            Ok(false) => {
                let current = match told(stores.get(&label, key.clone()).await) {
                    Ok(current) => current,
                    Err(error) => return Ok(Err(CasError::StoreError(error))),
                };
                let next = self.table.push(Cas { label, key, seen: Mutex::new(Some(current)) });
                Ok(Err(next
                    .map_or_else(|error| CasError::StoreError(Error::Other(error.to_string())), CasError::CasFailed)))
            }
            Err(error) => Ok(Err(CasError::StoreError(error))),
        }
    }
}

impl atomics::HostCas for Guest {
    async fn new(&mut self, bucket: Resource<OpenStore>, key: String) -> Answer<Resource<Cas>> {
        let (_, label) = self.opened(&bucket)?;
        let cas = self.table.push(Cas { label, key, seen: Mutex::default() });
        Ok(cas.map_err(|error| Error::Other(error.to_string())))
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Answer<Option<Vec<u8>>> {
        let (stores, label, key) = self.prepared(&cas)?;
        let current = told(stores.get(&label, key).await);
        if let Ok(current) = &current {
            let seen = &self.table.get(&cas)?.seen;
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(current.clone());
        }
        Ok(current)
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}
