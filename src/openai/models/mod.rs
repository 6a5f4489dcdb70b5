//! `GET /v1/models` and `GET /v1/models/{id}`.

mod object;

use std::borrow::Cow;

use futures::future::join_all;
use http::Response;
use percent_encoding::percent_decode_str;

use self::object::{ModelDetails, ModelList};
use super::server::ApiServer;
use crate::catalog::{Catalog, Model};
use crate::error::Error;
use crate::http::reply;
use crate::platform::Content;

/// `GET /v1/models`: all models, the default first, and the choices that their Spaces are known to have.
///
/// # Errors
/// 500 where they can't be written.
pub async fn list(server: &impl ApiServer) -> Result<Response<Content>, Error> {
    let services = server.services();
    let models = services.catalog.models().iter().filter(|model| model.preset_of.is_none());
    let choices = models.map(|model| async move {
        let names = services.dispatcher.choices(&model.pool).await;
        names.iter().map(|name| model.with_choice(name)).collect::<Vec<_>>()
    });
    let choices = join_all(choices).await.concat();
    reply::json(&ModelList::new(&services.catalog, &choices, services.started))
}

/// `GET /v1/models/{id}`: a model and its Spaces, which are asked where nothing is known of them.
///
/// # Errors
/// 404 where there is none.
pub async fn details(server: &impl ApiServer) -> Result<Response<Content>, Error> {
    let (call, services) = (server.call(), server.services());
    let model = named(&services.catalog, &call.parameter)?;
    let model = model.as_ref();
    let (capabilities, spaces) = services.dispatcher.survey(&model.pool, services.reveal_spaces).await;
    reply::json(&ModelDetails::new(model, services.started, capabilities, spaces))
}

/// The model of a percent-encoded id, which may hold slashes, raw or encoded.
fn named<'a>(catalog: &'a Catalog, encoded_id: &str) -> Result<Cow<'a, Model>, Error> {
    let id = percent_decode_str(encoded_id).decode_utf8_lossy();
    find(catalog, Some(&id))
}

/// The model that a request names, or the default where it names none.
///
/// # Errors
/// 404 where there is none of that id.
pub fn find<'a>(catalog: &'a Catalog, id: Option<&str>) -> Result<Cow<'a, Model>, Error> {
    catalog.find(id).ok_or_else(|| {
        let known = catalog.models().iter().map(|model| model.id.as_str());
        Error::model_not_found(id.unwrap_or_default(), known)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        Catalog::parse("z=a/b,c/d", "", &mut Vec::new())
    }

    #[test]
    fn models_are_listed_and_found_with_slashes_in_any_form() {
        let catalog = catalog();
        let list =
            serde_json::to_value(ModelList::new(&catalog, &[catalog.models()[0].with_choice("Ink")], 7)).unwrap();
        assert_eq!(list["object"], "list");
        assert_eq!(
            list["data"][0],
            serde_json::json!({"id": "z", "object": "model", "created": 7, "owned_by": "z-image-2api"})
        );
        let choice = serde_json::json!({
            "id": "z/Ink", "object": "model", "created": 7, "owned_by": "z-image-2api", "choice_of": "z"
        });
        assert_eq!(list["data"][2], choice);
        for id in ["c/d", "c%2Fd", "c%2fd"] {
            assert_eq!(named(&catalog, id).unwrap().id, "c/d", "{id}");
        }
        let error = named(&catalog, "gpt%ff").unwrap_err();
        assert_eq!((error.status.as_u16(), error.code), (404, Some("model_not_found")));
        assert!(error.message.contains("z, c/d"));
    }
}
