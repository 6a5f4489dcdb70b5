//! Does what its path says, so that a test sees what the host does.

mod outside;
mod streams;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use spin_sdk::http::{BoxBody, FullBody, HeaderValue, IntoResponse, Request, Response, StatusCode, box_body};
use spin_sdk::key_value::Store;
use spin_sdk::wasip3::clocks::monotonic_clock::wait_for;
use spin_sdk::wasip3::http::types::{self, ErrorCode};

thread_local! {
    static REQUESTS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// An answer, as the SDK writes it or as the component does so itself.
enum Answer {
    Sdk(Response<BoxBody>),
    Own(types::Response),
}

impl IntoResponse for Answer {
    fn into_response(self) -> Result<types::Response, ErrorCode> {
        match self {
            Self::Sdk(response) => response.into_response(),
            Self::Own(response) => Ok(response),
        }
    }
}

#[spin_sdk::http_service]
async fn handle(request: Request) -> Answer {
    let count = REQUESTS.get() + 1;
    REQUESTS.set(count);
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    Answer::Sdk(match path.trim_start_matches("/guest") {
        "/count" => text(format!("{count}")),
        "/headers" => {
            let line = |(name, value): (_, &HeaderValue)| format!("{name}: {}\n", value.to_str().unwrap());
            text(request.headers().iter().map(line).collect::<String>())
        }
        "/uri" => text(request.uri().to_string()),
        "/echo" => Response::new(box_body(FullBody::new(request.into_body().collect().await.unwrap().to_bytes()))),
        "/variable" => text(format!("{:?}", spin_sdk::variables::get(&query).await)),
        "/store" => text(store(&query).await),
        "/fetch" => outside::fetch(&query).await,
        "/limited" => outside::limited(&query).await,
        "/abandon" => outside::abandon(&query).await,
        "/upload" => outside::upload(&query, request).await,
        "/socket" => text(format!("{:?}", std::net::TcpStream::connect(&query).map(drop))),
        "/stream" => streams::lines(),
        "/much" => streams::much(query.parse().unwrap()),
        "/probe" => return Answer::Own(streams::probe()),
        "/log" => {
            println!("the guest prints {query}");
            eprintln!("the guest says {query}");
            text(String::new())
        }
        "/hop" => {
            let body = box_body(FullBody::new(Bytes::new()));
            Response::builder().header("transfer-encoding", "chunked").body(body).unwrap()
        }
        "/trap" => panic!("as asked"),
        "/memory" => text(format!("{}", vec![1_u8; query.parse().unwrap()].len())),
        "/busy" => loop {
            std::hint::black_box(count);
        },
        "/slow" => {
            sleep(Duration::from_millis(query.parse().unwrap())).await;
            eprintln!("the guest has waited");
            text(format!("{count}"))
        }
        other => text(format!("nothing at {other}")),
    })
}

fn text(text: String) -> Response<BoxBody> {
    status(StatusCode::OK, text)
}

fn status(status: StatusCode, text: String) -> Response<BoxBody> {
    Response::builder().status(status).body(box_body(FullBody::new(Bytes::from(text)))).unwrap()
}

async fn sleep(time: Duration) {
    wait_for(u64::try_from(time.as_nanos()).unwrap()).await;
}

/// `set:KEY=VALUE`, `get:KEY`, `delete:KEY`, `keys`, `open:LABEL`.
async fn store(call: &str) -> String {
    let (verb, rest) = call.split_once(':').unwrap_or((call, ""));
    if verb == "open" {
        return format!("{:?}", Store::open(rest).await.map(drop));
    }
    let store = Store::open_default().await.unwrap();
    match verb {
        "set" => {
            let (key, value) = rest.split_once('=').unwrap();
            format!("{:?}", store.set(key, value).await)
        }
        "get" => format!("{:?}", store.get(rest).await.map(|value| value.map(|bytes| String::from_utf8(bytes).unwrap()))),
        "exists" => format!("{:?}", store.exists(rest).await),
        "delete" => format!("{:?}", store.delete(rest).await),
        "keys" => format!("{:?}", store.get_keys().await.collect().await),
        other => format!("no verb {other}"),
    }
}
