//! A component that serves the web studio.
//!
//! The files of `assets/` are inside it ([`files`]), each as it is and in gzip, so it needs no file system and runs
//! on every host. A request's path is looked up in a table; nothing is resolved, so there is nothing to escape from.
//! [`answer`] decides, [`negotiate`] reads the headers that matter, and the edge to Spin is a few lines. Without that
//! edge (the feature `spin`), this is a library for a component that answers other paths too.

pub mod files;
pub mod negotiate;
#[cfg(all(target_arch = "wasm32", feature = "spin"))]
mod spin;

use std::borrow::Cow;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_RANGE, RANGE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use z_image_conditional::none_match_names;
use z_image_conditional::range::{self, Range};

use crate::files::File;

/// Permissions of a page: to show, style and script itself, to call this origin, and to show images that it has made. A
/// text can't become markup or script, as nothing may make any, but for one maker of script addresses, which may be
/// created once (`trusted-types service-worker`): that of `boot.js`, whose only address is the service worker's.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types service-worker",
);
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// The SDKs' word on whether to ask again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// Body of a 404. It is most likely read by a client of the API with a wrong base URL, which shows its user the
/// `message` of OpenAI's error object.
const NOT_FOUND: &[u8] =
    b"{\"error\":{\"message\":\"There is nothing here. The API is at /v1: is the base URL right?\",\
    \"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}";
/// Body of a 405.
const WRONG_METHOD: &[u8] =
    b"{\"error\":{\"message\":\"Only GET and HEAD here. The API is at /v1: is the base URL right?\",\
    \"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
/// Nothing of the device but its clipboard, which the defaults leave to a page of its own.
const PERMISSIONS: HeaderValue = HeaderValue::from_static(
    "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), midi=(), display-capture=()",
);
/// Kept, and asked for again each time: an answer of 304 is small, and an update is seen at once.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// Answers a request from `files`.
pub fn answer(
    files: &'static [File],
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Response<Cow<'static, [u8]>> {
    let mut response = match (method, find(files, path)) {
        (_, None) => error(StatusCode::NOT_FOUND, NOT_FOUND),
        (&Method::GET | &Method::HEAD, Some(file)) => serve(file, headers),
        (_, Some(_)) => {
            let mut response = error(StatusCode::METHOD_NOT_ALLOWED, WRONG_METHOD);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
    };
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(PERMISSIONS_POLICY, PERMISSIONS);
    if response.status() != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if method == Method::HEAD {
        *response.body_mut() = Cow::default();
    }
    response
}

/// The file of that path, which may be percent-encoded.
fn find(files: &'static [File], path: &str) -> Option<&'static File> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let path = match &*path {
        "/" => "/index.html",
        "/docs" => "/docs.html",
        path => path,
    };
    files.iter().find(|file| file.path == path)
}

fn serve(file: &'static File, headers: &HeaderMap) -> Response<Cow<'static, [u8]>> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let mut response = Response::new(Cow::default());
    let answer = response.headers_mut();
    answer.insert(CACHE_CONTROL, REVALIDATE);
    answer.insert(VARY, HeaderValue::from_static("accept-encoding"));
    let Some(variant) = negotiate::choose(file.variants, text(ACCEPT_ENCODING)) else {
        return plain(StatusCode::NOT_ACCEPTABLE, b"No coding of this file is acceptable.\n");
    };
    answer.insert(ETAG, HeaderValue::from_static(variant.tag));
    if none_match_names(headers, variant.tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    answer.insert(CONTENT_TYPE, content_type(file.path));
    answer.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(coding) = variant.coding {
        answer.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    let whole = variant.content.len();
    let range = text(RANGE).filter(|_| text(IF_RANGE).is_none_or(|known| known == variant.tag));
    match range.map_or(Range::Whole, |range| range::parse(range, whole)) {
        Range::Whole => *response.body_mut() = variant.content.bytes(),
        Range::Part(first, last) => {
            if let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{last}/{whole}")) {
                answer.insert(CONTENT_RANGE, value);
            }
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            *response.body_mut() = match variant.content.bytes() {
                Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(first..=last).unwrap_or_default()),
                Cow::Owned(bytes) => Cow::Owned(bytes.get(first..=last).unwrap_or_default().to_vec()),
            };
        }
        Range::Unsatisfiable => {
            response = plain(StatusCode::RANGE_NOT_SATISFIABLE, b"There are no such bytes.\n");
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{whole}")) {
                response.headers_mut().insert(CONTENT_RANGE, value);
            }
        }
    }
    response
}

fn plain(status: StatusCode, text: &'static [u8]) -> Response<Cow<'static, [u8]>> {
    let mut response = Response::new(Cow::Borrowed(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// An error that clients of the API can show.
fn error(status: StatusCode, text: &'static [u8]) -> Response<Cow<'static, [u8]>> {
    let mut response = Response::new(Cow::Borrowed(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    response
}

fn content_type(path: &str) -> HeaderValue {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    HeaderValue::from_static(match extension {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Coding, Content, FILES, Variant};
    use http::header::IF_NONE_MATCH;

    const TEST_FILES: &[File] = &[
        File {
            path: "/index.html",
            variants: &[
                Variant {
                    coding: None,
                    tag: "\"plain\"",
                    content: Content::Inflated { gzip: b"0123456789\x01\x0a\0\xf5\xff0123456789", length: 10 },
                },
                Variant { coding: Some(Coding::Gzip), tag: "\"gz\"", content: Content::Kept(b"GZIP") },
            ],
        },
        File {
            path: "/a b/é.svg",
            variants: &[Variant { coding: None, tag: "\"svg\"", content: Content::Kept(b"<svg/>") }],
        },
    ];

    fn ask(method: Method, path: &str, headers: &[(HeaderName, &'static str)]) -> Response<Cow<'static, [u8]>> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        answer(TEST_FILES, &method, path, &headers)
    }

    fn get(path: &str, headers: &[(HeaderName, &'static str)]) -> Response<Cow<'static, [u8]>> {
        ask(Method::GET, path, headers)
    }

    fn header(response: &Response<Cow<'static, [u8]>>, name: HeaderName) -> Option<String> {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_file_comes_in_the_best_coding_that_is_accepted() {
        for (accepts, body, coding) in [
            (None, b"0123456789".as_slice(), None),
            (Some("br, gzip"), b"GZIP", Some("gzip")),
            (Some("gzip"), b"GZIP", Some("gzip")),
            (Some("identity;q=0.1, gzip;q=0.5"), b"GZIP", Some("gzip")),
            (Some("br, gzip;q=0"), b"0123456789", None),
            (Some("*"), b"GZIP", Some("gzip")),
        ] {
            let headers: Vec<_> = accepts.map(|value| (ACCEPT_ENCODING, value)).into_iter().collect();
            let response = get("/", &headers);
            assert_eq!((response.status().as_u16(), &**response.body()), (200, body), "{accepts:?}");
            assert_eq!(header(&response, CONTENT_ENCODING).as_deref(), coding);
            assert_eq!(header(&response, VARY).as_deref(), Some("accept-encoding"));
            assert_eq!(header(&response, CONTENT_LENGTH), Some(body.len().to_string()));
        }
        assert_eq!(get("/", &[(ACCEPT_ENCODING, "identity;q=0, gzip;q=0")]).status(), 406);
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        for known in ["\"plain\"", "W/\"plain\"", "\"x\", \"plain\"", "*"] {
            let response = get("/index.html", &[(IF_NONE_MATCH, known)]);
            assert_eq!((response.status().as_u16(), response.body().len()), (304, 0), "{known}");
            assert_eq!(header(&response, CONTENT_LENGTH), None);
            assert!(header(&response, ETAG).is_some() && header(&response, CACHE_CONTROL).is_some());
        }
        assert_eq!(get("/", &[(IF_NONE_MATCH, "\"gz\"")]).status(), 200, "another coding is another thing");
        assert_eq!(get("/", &[(IF_NONE_MATCH, "\"gz\""), (ACCEPT_ENCODING, "gzip")]).status(), 304);
    }

    #[test]
    fn a_part_can_be_had() {
        let part = get("/", &[(RANGE, "bytes=2-4")]);
        assert_eq!((part.status().as_u16(), &**part.body()), (206, b"234".as_slice()));
        assert_eq!(header(&part, CONTENT_RANGE).as_deref(), Some("bytes 2-4/10"));
        assert_eq!(get("/", &[(RANGE, "bytes=10-")]).status(), 416);
        assert_eq!(get("/", &[(RANGE, "bytes=2-4"), (IF_RANGE, "\"plain\"")]).status(), 206);
        assert_eq!(get("/", &[(RANGE, "bytes=2-4"), (IF_RANGE, "\"old\"")]).status(), 200);
        assert_eq!(**get("/", &[(RANGE, "bytes=2-4"), (ACCEPT_ENCODING, "gzip")]).body(), *b"IP");
    }

    #[test]
    fn only_what_is_there_can_be_had() {
        assert_eq!(**get("/a%20b/%C3%A9.svg", &[]).body(), *b"<svg/>");
        for path in [
            "",
            "//",
            "/..",
            "/../index.html",
            "/%2e%2e/index.html",
            "/a b/../index.html",
            "/index.html/",
            "/INDEX.HTML",
            "/index.html%00",
            "/\\index.html",
            "/%2findex.html",
            "/%ff",
            "/a%20b/",
            "//index.html",
        ] {
            let response = get(path, &[]);
            assert_eq!(response.status(), 404, "{path}");
            assert_eq!(header(&response, X_CONTENT_TYPE_OPTIONS).as_deref(), Some("nosniff"));
            assert_eq!(header(&response, CONTENT_TYPE).as_deref(), Some("application/json"));
            assert_eq!(header(&response, SHOULD_RETRY).as_deref(), Some("false"));
        }
    }

    #[test]
    fn other_methods_are_refused_and_head_has_no_body() {
        let response = ask(Method::POST, "/", &[]);
        assert_eq!((response.status().as_u16(), header(&response, ALLOW).as_deref()), (405, Some("GET, HEAD")));
        let head = ask(Method::HEAD, "/", &[]);
        assert_eq!((head.status().as_u16(), head.body().len()), (200, 0));
        assert_eq!(header(&head, CONTENT_LENGTH).as_deref(), Some("10"));
    }

    #[test]
    fn every_answer_says_what_a_page_may_do() {
        for path in ["/", "/nothing"] {
            let response = get(path, &[]);
            let policy = header(&response, CONTENT_SECURITY_POLICY).unwrap();
            for directive in [
                "default-src 'none'",
                "script-src 'self';",
                "style-src 'self';",
                "connect-src 'self';",
                "trusted-types service-worker",
            ] {
                assert!(policy.contains(directive), "{directive}");
            }
            assert!(!policy.contains("allow-duplicates"), "the maker of script addresses can be created once");
            assert!(!policy.contains("unsafe") && !policy.contains("data:") && !policy.contains('*'), "{policy}");
            for name in [OPENER_POLICY, RESOURCE_POLICY] {
                assert_eq!(header(&response, name).as_deref(), Some("same-origin"));
            }
        }
    }

    #[test]
    fn the_apis_document_and_its_page_are_inside() {
        for (path, kind) in [("/docs", "text/html; charset=utf-8"), ("/openapi.json", "application/json")] {
            let response = answer(FILES, &Method::GET, path, &HeaderMap::new());
            assert_eq!((response.status().as_u16(), header(&response, CONTENT_TYPE).as_deref()), (200, Some(kind)));
        }
        let own = FILES.iter().filter(|file| file.path.starts_with("/docs.") || file.path == "/openapi.json");
        let sizes = own.map(|file| file.variants.last().unwrap().content.len());
        assert!(sizes.sum::<usize>() < 10_000);
    }

    #[test]
    fn the_studio_is_inside_and_keeps_to_its_own_policy() {
        let page = FILES.iter().find(|file| file.path == "/index.html").expect("there is a page");
        let page = page.variants[0].content.bytes();
        let text = std::str::from_utf8(&page).unwrap();
        for forbidden in ["<style", " style=", "onclick=", "onload=", "http://", "https://", "<script>"] {
            assert!(!text.contains(forbidden), "the policy forbids {forbidden}");
        }
        let modules = FILES.iter().filter(|file| file.path.starts_with("/js/") && file.path != "/js/main.js");
        for module in modules {
            // Else it would be asked for only when the module that imports it has come.
            let preload = format!(
                "<link rel=\"modulepreload\" fetchpriority=\"low\" href=\"{}\">",
                module.path.trim_start_matches('/')
            );
            assert!(text.contains(&preload), "{} is not preloaded", module.path);
        }
        for file in FILES {
            assert!(content_type(file.path) != "application/octet-stream", "{} has no type", file.path);
            assert!(file.variants[0].coding.is_none());
            for variant in file.variants {
                assert_eq!(variant.content.bytes().len(), variant.content.len(), "{}", file.path);
            }
        }
        let smallest = |file: &File| file.variants.iter().map(|variant| variant.content.len()).min().unwrap();
        assert!(FILES.iter().map(smallest).sum::<usize>() < 110_000);
    }
}
