//! The server around the endpoints.
//!
//! An endpoint parses a request, has its images made, and writes the answer. What is the same for all of them lies
//! behind [`ApiServer`]: permits, the history and the log are the caller's, and put around the updates by it.

use std::rc::Rc;
use std::time::Duration;

use http::Response;
use serde_json::{Map, Value};

use super::chat::progress::ChatProgress;
use super::image_request::ImageRequest;
use super::source::Source;
use crate::catalog::{Catalog, Model};
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::http::call::Call;
use crate::media::keyring::Keyring;
use crate::media::link;
use crate::media::route;
use crate::pipeline::{ErrorLog, Updates};
use crate::platform::{Content, Host};
use crate::store::Store;

/// Logs something that went wrong beside a request: a message and a detail.
pub type WarningLog = Rc<dyn Fn(&str, &str)>;

/// Services and settings of an instance that endpoints use.
pub struct Services {
    /// The host.
    pub host: Host,
    /// The models.
    pub catalog: Catalog,
    /// Dispatcher of jobs to Spaces.
    pub dispatcher: Rc<Dispatcher>,
    /// Signer of image links.
    pub keyring: Rc<Keyring>,
    /// The database.
    pub store: Store,
    /// Size of the largest image that is passed on, in bytes.
    pub max_image_bytes: usize,
    /// True where clients may know the Space that made an image.
    pub reveal_spaces: bool,
    /// Form in which a chat shows the progress of its images.
    pub chat_progress: ChatProgress,
    /// Time for which a response can be referred to.
    pub response_ttl: Duration,
    /// Time at which the settings were read, in seconds since the Unix epoch.
    pub started: u64,
}

impl Services {
    /// Replaces a source that is a link of this server's own by the image behind it. Other URLs stay.
    ///
    /// # Errors
    /// Those of an image link.
    pub async fn resolve(&self, source: &mut Source) -> Result<(), Error> {
        if let Source::Url(url) = source
            && let Some((_, name)) = url.split_once(link::PATH)
        {
            let (client, limit) = (self.dispatcher.client(), self.max_image_bytes);
            let bytes = route::fetch_linked(client, &self.keyring, &self.catalog, &self.store, limit, name).await?;
            *source = Source::Bytes(bytes);
        }
        Ok(())
    }
}

/// Images that are being made.
pub struct Started {
    /// Their updates.
    pub updates: Updates,
    /// Log of those that could not be made.
    pub log: ErrorLog,
}

/// The server around an endpoint, for one call.
pub trait ApiServer {
    /// The call.
    fn call(&self) -> &Call;

    /// Services of the instance.
    fn services(&self) -> &Services;

    /// Starts to make the images of a request.
    ///
    /// # Errors
    /// 429 where the caller has too many in the making; 500 or 503 where links are wanted and can't be signed.
    fn start(&self, model: &Model, request: ImageRequest) -> impl Future<Output = Result<Started, Error>>;

    /// Submits a request of these fields as a task, and answers with the task.
    ///
    /// # Errors
    /// 413 or 429 where it is too large, or there are too many; 503 where the database fails.
    fn submit(
        &self,
        model: &Model,
        request: ImageRequest,
        fields: Map<String, Value>,
    ) -> impl Future<Output = Result<Response<Content>, Error>>;

    /// Log of what goes wrong beside the call, which is answered all the same.
    fn warnings(&self) -> WarningLog;
}
