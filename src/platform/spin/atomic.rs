//! Compare and swap, which Spin has in `wasi:keyvalue/atomics` and not in its own key-value interface.
//!
//! What a swap answers isn't believed. Spin 4.1's Redis store says that every swap failed, also where it did its work (it sends `UNWATCH` with an
//! argument that Redis refuses), and its conversion of an aborted transaction would say that it succeeded. Whatever the answer, what
//! lies there afterwards decides. These calls are not asynchronous in WIT: the instance waits for each, some milliseconds.

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "spin_sdk::wit_bindgen::rt",
        world: "imports",
        path: "wit",
        generate_all,
    });
}

use self::bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
use self::bindings::wasi::keyvalue::store::{self, Bucket, Error};
use crate::platform::StoreError;

/// See [`crate::platform::Platform::swap`].
pub(super) fn swap(key: &str, expected: &[u8], value: &[u8]) -> Result<bool, StoreError> {
    let bucket = store::open("default").map_err(store_error)?;
    let cas = Cas::new(&bucket, key).map_err(store_error)?;
    if cas.current().map_err(store_error)?.as_deref() != Some(expected) {
        return Ok(false);
    }
    match atomics::swap(cas, value) {
        Ok(()) | Err(CasError::CasFailed(_)) => {}
        Err(CasError::StoreError(error)) => return Err(store_error(error)),
    }
    Ok(current(&bucket, key)?.as_deref() == Some(value))
}

/// Read by way of a swap's handle: of the two ways to read, the one that no store answers with what was.
fn current(bucket: &Bucket, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Cas::new(bucket, key).and_then(|cas| cas.current()).map_err(store_error)
}

fn store_error(error: Error) -> StoreError {
    StoreError::Failed(match error {
        Error::NoSuchStore => "there is no such store".to_owned(),
        Error::AccessDenied => "the component may not use it".to_owned(),
        Error::Other(message) => message,
    })
}
