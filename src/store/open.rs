//! Opening of the database by an instance.

use super::{Meta, Store, schema};
use crate::platform::StoreError;

impl Store {
    /// Data of the whole service. The first call migrates the schema.
    ///
    /// # Errors
    /// As [`Store::query`], within a second.
    pub async fn meta(&self) -> Result<Meta, StoreError> {
        if !self.is_on() {
            return Err(StoreError::Off);
        }
        let this = self.clone();
        let opened = self.0.opened.get(&self.0.host, || Box::pin(async move { schema::open(&this).await })).await;
        if let Err(error) = &opened {
            self.0.failure.warn(error);
            // The next call tries again.
            self.0.opened.reset();
        }
        opened
    }
}
