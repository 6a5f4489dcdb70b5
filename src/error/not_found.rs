//! Errors of requests for something that isn't there.

use http::StatusCode;

use super::{Error, INVALID_REQUEST};

impl Error {
    /// 404: no such model. `known` are those that there are.
    pub fn model_not_found<'a>(model: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let model: String = model.chars().take(100).collect();
        let known = known.collect::<Vec<_>>().join(", ");
        let message = format!("The model '{model}' does not exist here. Models: {known}.");
        let error = Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, Some("model_not_found"), message);
        Self { param: Some("model"), ..error }
    }

    /// 400: there is no response of that id, or it belongs to another key.
    pub fn response_not_found(id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        let message = format!(
            "Previous response with id '{id}' not found. It may have expired (variable response_ttl), or have been \
             made with `store` set to false."
        );
        let error = Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("previous_response_not_found"), message);
        Self { param: Some("previous_response_id"), ..error }
    }

    /// 404: there is no task of that id, or it belongs to another key.
    pub fn task_not_found(id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        let message = format!("No task found with id '{id}'. It may have expired (variable task_ttl).");
        Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, Some("task_not_found"), message)
    }

    /// 404: there is no remembered image of that id, or it belongs to another key.
    pub fn image_not_found(id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            INVALID_REQUEST,
            Some("image_not_found"),
            format!("No image found with id '{id}'."),
        )
    }
}
