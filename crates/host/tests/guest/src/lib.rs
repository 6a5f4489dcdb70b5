//! Does what its path says, so that a test sees what the host does.

mod platform;
mod sql;

use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt as _;
use futures::channel::oneshot;
use futures::future::{Either, select};
use http_body_util::BodyExt as _;
use spin_sdk::http::{BoxBody, FullBody, Request, Response, body, box_body};
use spin_sdk::wasip3::clocks::monotonic_clock::{self, wait_for};

use crate::platform::wasi::wake;

thread_local! {
    static REQUESTS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    /// The requests that wait for another one.
    static WAITING: std::cell::RefCell<Vec<oneshot::Sender<u32>>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[spin_sdk::http_service]
async fn handle(request: Request) -> Response<BoxBody> {
    wake::task(answer(request)).await
}

async fn answer(request: Request) -> Response<BoxBody> {
    let count = REQUESTS.get() + 1;
    REQUESTS.set(count);
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    match path.trim_start_matches("/guest") {
        "/count" => text(format!("{count}")),
        "/headers" => {
            let line =
                |(name, value): (_, &spin_sdk::http::HeaderValue)| format!("{name}: {}\n", value.to_str().unwrap());
            text(request.headers().iter().map(line).collect::<String>())
        }
        "/uri" => text(request.uri().to_string()),
        "/echo" => Response::new(box_body(FullBody::new(request.into_body().collect().await.unwrap().to_bytes()))),
        "/variable" => text(format!("{:?}", spin_sdk::variables::get(&query).await)),
        "/sqlite" => text(sql::sqlite(&body(request).await).await),
        "/postgres" => text(sql::postgres(&body(request).await).await),
        "/fetch" => fetch(&query).await,
        "/stream" => stream(),
        "/log" => {
            eprintln!("the guest says {query}");
            text(String::new())
        }
        "/hop" => {
            let body = box_body(FullBody::new(Bytes::new()));
            Response::builder().header("transfer-encoding", "chunked").body(body).unwrap()
        }
        "/trap" => panic!("as asked"),
        "/large" => large(query.parse().unwrap()),
        "/bursts" => {
            // As much computing as would end an instance, with pauses in it.
            for _ in 0..query.parse().unwrap() {
                let begun = monotonic_clock::now();
                while monotonic_clock::now() - begun < 300_000_000 {}
                wait_for(1_000_000).await;
            }
            text("done".to_owned())
        }
        "/busy" => loop {
            std::hint::black_box(count);
        },
        "/slow" => {
            wait_for(u64::try_from(Duration::from_millis(query.parse().unwrap()).as_nanos()).unwrap()).await;
            text("waited".to_owned())
        }
        "/wait" => {
            let (wake, woken) = oneshot::channel();
            WAITING.with_borrow_mut(|waiting| waiting.push(wake));
            let first = woken.await;
            // Again, with other events to wait for, and in a task that goes on after the answer.
            let (wake, woken) = oneshot::channel();
            WAITING.with_borrow_mut(|waiting| waiting.push(wake));
            let (mut said, body) = body::stream::<String>();
            wake::spawn(async move {
                let mut woken = woken;
                let second = loop {
                    match select(woken, Box::pin(wait_for(3_000_000))).await {
                        Either::Left((second, _)) => break second,
                        Either::Right(((), rest)) => woken = rest,
                    }
                };
                said.send(format!("{first:?} {second:?}")).await.unwrap();
            });
            Response::new(box_body(body))
        }
        "/wake" => {
            let waiting = WAITING.take();
            let woken = waiting.len();
            waiting.into_iter().for_each(|one| one.send(count).unwrap_or_default());
            text(format!("{woken}"))
        }
        other => text(format!("nothing at {other}")),
    }
}

async fn body(request: Request) -> String {
    String::from_utf8(request.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn text(text: String) -> Response<BoxBody> {
    Response::new(box_body(FullBody::new(Bytes::from(text))))
}

/// GETs the URL in the query, and passes the answer on as it comes.
async fn fetch(url: &str) -> Response<BoxBody> {
    match spin_sdk::http::get(url).await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let body = body.map_err(|error| std::io::Error::other(format!("{error:?}")));
            Response::builder().status(head.status).body(box_body(body)).unwrap()
        }
        Err(error) => {
            let body = box_body(FullBody::new(Bytes::from(format!("{error:?}"))));
            Response::builder().status(502).body(body).unwrap()
        }
    }
}

/// A line every 20 ms for ten seconds, and a word in the log when nobody wants them any more.
fn stream() -> Response<BoxBody> {
    let (mut lines, body) = body::stream::<String>();
    wake::spawn(async move {
        for number in 0..500 {
            if lines.send(format!("{number}\n")).await.is_err() {
                eprintln!("the client left after {number} lines");
                return;
            }
            wait_for(20_000_000).await;
        }
    });
    Response::new(box_body(body))
}

/// That many megabytes, and a word in the log when nobody wants them any more.
fn large(megabytes: usize) -> Response<BoxBody> {
    let (mut pieces, body) = body::stream::<Bytes>();
    wake::spawn(async move {
        for number in 0..megabytes * 64 {
            if pieces.send(Bytes::from(vec![b'x'; 1 << 14])).await.is_err() {
                eprintln!("the client left after {number} pieces");
                return;
            }
        }
        eprintln!("the client took it all");
    });
    Response::new(box_body(body))
}
