//! First statement of an instance: brings the schema up to date, and reads what belongs to the whole service.

use super::{Meta, Store, schema};
use crate::platform::StoreError;

impl Store {
    /// What the database holds for the whole service. The first call brings the schema up to date.
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
            // The next statement tries again.
            self.0.opened.reset();
        }
        opened
    }
}
