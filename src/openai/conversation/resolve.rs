//! The request for images that a conversation comes to.

use super::intent::ImageIntent;
use crate::catalog::Model;
use crate::error::Error;
use crate::generation::Purpose;
use crate::openai::fields::Fields;
use crate::openai::image_request::ImageRequest;
use crate::openai::server::Services;

/// The request for images that a conversation comes to, with the images behind this server's own links.
///
/// # Errors
/// 400 that names the parameter, or where an image can't be had.
pub async fn image_request(services: &Services, model: &Model, intent: ImageIntent) -> Result<ImageRequest, Error> {
    let ImageIntent { mut request, earlier, is_sure, language: _ } = intent;
    if let Some(earlier) = earlier
        && (is_sure || services.dispatcher.can(&model.pool, Purpose::Edit).await)
    {
        request.add(earlier);
    }
    for source in request.sources() {
        services.resolve(source).await?;
    }
    if request.sources().next().is_none() {
        ImageRequest::read(&Fields::new(request.fields().clone()), &services.host)
    } else {
        request.finish(&services.host)
    }
}
