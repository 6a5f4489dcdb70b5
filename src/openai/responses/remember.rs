//! Keeping of the images of a response that has ended.

use std::rc::Rc;

use futures::future::LocalBoxFuture;

use super::context::ResponseContext;
use super::memory::{ResponseRecord, remember};
use crate::openai::server::ApiServer;
use crate::pipeline::MadeFile;

/// Keeps the images of a response.
pub(super) type Remember = Box<dyn FnOnce(Vec<MadeFile>) -> LocalBoxFuture<'static, ()>>;

/// The memory of a response. Its failure is logged, and the response answered all the same.
pub(super) fn remembering(server: &impl ApiServer, context: &ResponseContext) -> Remember {
    let (services, warnings) = (server.services(), server.warnings());
    let (suffix, prompt, is_kept) = (context.suffix.clone(), context.prompt.clone(), context.store);
    let (keyring, store, ttl) = (Rc::clone(&services.keyring), services.store.clone(), services.response_ttl);
    let owner = server.call().caller.id().to_owned();
    Box::new(move |files| {
        Box::pin(async move {
            if !is_kept {
                return;
            }
            let failure = match keyring.signer().await {
                Ok(signer) => {
                    let expires = store.host().unix_time().saturating_add(ttl).as_secs();
                    let token = |MadeFile { index, file }| (index, signer.sign(&file, None, expires));
                    let record = ResponseRecord { prompt, images: files.into_iter().map(token).collect() };
                    let kept = remember(&store, &owner, &suffix, &record, ttl).await;
                    kept.err().map(|error| error.to_string())
                }
                Err(error) => error.detail,
            };
            if let Some(failure) = failure {
                warnings("A response could not be kept; nothing can go on from it.", &failure);
            }
        })
    })
}
