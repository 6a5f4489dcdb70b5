//! `GET /v1/models` and `GET /v1/models/{id}`.

use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::error::Error;
use crate::settings::{Model, Settings};

/// OpenAI's model object.
#[derive(Debug, Serialize)]
pub struct ModelObject<'a> {
    id: &'a str,
    object: &'static str,
    /// Seconds since the Unix epoch: when this instance read its settings.
    created: u64,
    owned_by: &'static str,
}

/// OpenAI's list object.
#[derive(Debug, Serialize)]
pub struct ModelList<'a> {
    object: &'static str,
    data: Vec<ModelObject<'a>>,
}

/// All models, the default first.
pub fn list(settings: &Settings, created: u64) -> ModelList<'_> {
    ModelList { object: "list", data: settings.models.iter().map(|model| object(model, created)).collect() }
}

/// The model that the rest of the path names. Its id may hold slashes, raw or percent-encoded.
///
/// # Errors
/// 404 where there is none.
pub fn retrieve<'a>(settings: &'a Settings, created: u64, encoded_id: &str) -> Result<ModelObject<'a>, Error> {
    let id = percent_decode_str(encoded_id).decode_utf8_lossy();
    find(settings, Some(&id)).map(|model| object(model, created))
}

/// The model that a request names, or the default where it names none.
///
/// # Errors
/// 404 where there is none of that id.
pub fn find<'a>(settings: &'a Settings, id: Option<&str>) -> Result<&'a Model, Error> {
    settings.model(id).ok_or_else(|| {
        Error::model_not_found(id.unwrap_or_default(), settings.models.iter().map(|model| model.id.as_str()))
    })
}

fn object(model: &Model, created: u64) -> ModelObject<'_> {
    ModelObject { id: &model.id, object: "model", created, owned_by: "z-image-2api" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::parse(|name| if name == "spaces" { "z=a/b,c/d" } else { "" })
    }

    #[test]
    fn models_are_listed_and_found_with_slashes_in_any_form() {
        let settings = settings();
        let list = serde_json::to_value(list(&settings, 7)).unwrap();
        assert_eq!(list["object"], "list");
        assert_eq!(
            list["data"][0],
            serde_json::json!({"id": "z", "object": "model", "created": 7, "owned_by": "z-image-2api"})
        );
        for id in ["c/d", "c%2Fd", "c%2fd"] {
            assert_eq!(serde_json::to_value(retrieve(&settings, 7, id).unwrap()).unwrap()["id"], "c/d", "{id}");
        }
        let error = retrieve(&settings, 7, "gpt%ff").unwrap_err();
        assert_eq!((error.status.as_u16(), error.code), (404, Some("model_not_found")));
        assert!(error.message.contains("z, c/d"));
    }
}
