//! Paths, methods and origins.

use super::*;

#[test]
fn paths_are_taken_as_people_write_them() {
    let (world, space) = world(60, Fate::Succeeds);
    for path in [
        "/images/generations",
        "/v1/v1/images/generations",
        "/v1/images/generations/",
        "/openai/v1/images/generations?api-version=preview",
        "/openai/deployments/z-image-turbo/images/generations?api-version=2025-04-01-preview",
    ] {
        let made = answer(&world, request(Method::POST, path, r#"{"prompt":"x","model":"dall-e-3"}"#));
        assert_eq!(made.status, 200, "{path}: {made:?}");
    }
    assert_eq!(space.jobs().len(), 5);
    let other =
        request(Method::POST, "/openai/deployments/other/images/generations", r#"{"prompt":"x","model":"dall-e-3"}"#);
    assert_eq!(answer(&world, other).error().2, json!("model_not_found"), "Azure's path decides");
}

#[test]
fn pages_of_other_origins_are_answered() {
    let (world, _) = world(61, Fate::Succeeds);
    let ask = |method: Method, path: &str, key: bool| {
        let mut request = request(method, path, r#"{"prompt":"x"}"#);
        if !key {
            request.headers_mut().remove("authorization");
        }
        request.headers_mut().insert("origin", "https://chat.example".parse().unwrap());
        request
            .headers_mut()
            .insert("access-control-request-headers", "authorization,x-stainless-lang".parse().unwrap());
        answer(&world, request)
    };
    let preflight = ask(Method::OPTIONS, "/v1/images/generations", false);
    assert_eq!((preflight.status.as_u16(), preflight.header("access-control-allow-origin")), (204, Some("*")));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization,x-stainless-lang"));
    let refused = ask(Method::POST, "/v1/images/generations", false);
    assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (401, Some("*")));
    assert_eq!(ask(Method::POST, "/v1/nothing", true).header("access-control-allow-origin"), Some("*"));
    let made = ask(Method::POST, "/v1/images/generations", true);
    assert!(made.header("access-control-expose-headers").unwrap().contains("x-request-id"));
    world.set_variable("cors_origins", "https://other.example");
    assert_eq!(ask(Method::POST, "/v1/images/generations", true).header("access-control-allow-origin"), None);
    assert_eq!(ask(Method::OPTIONS, "/v1/models", false).header("access-control-allow-methods"), None);
}

#[test]
fn variations_need_a_space_that_edits() {
    let (world, space) = world(62, Fate::Succeeds);
    let form = "--x\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\n\u{89}PNG--x--\r\n";
    let ask = |form: Vec<u8>| {
        let mut request = request(Method::POST, "/v1/images/variations", "");
        request.headers_mut().insert("content-type", "multipart/form-data; boundary=x".parse().unwrap());
        *request.body_mut() = Box::pin(futures::stream::iter([Ok(bytes::Bytes::from(form))]));
        answer(&world, request)
    };
    assert_eq!(ask(form.as_bytes().to_vec()).error().0, 400, "no image");
    let mut form = b"--x\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\n".to_vec();
    form.extend(png());
    form.extend(b"\r\n--x--\r\n");
    let (status, _, code, param) = ask(form).error();
    assert_eq!((status, code, param), (400, json!("unsupported_by_model"), json!("model")));
    assert_eq!(space.jobs().len(), 0);
}
