//! The host's program, with a real component in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and keeps its own time"
)]

mod harness;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Answer, Host};

/// A server that answers every connection with the same bytes, and then does as `after` says.
fn upstream(answer: &'static [u8], after: fn(TcpStream)) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (send, heads) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let send = send.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
                let _ = send.send(head.to_lowercase());
                let mut stream = stream;
                let _ = stream.write_all(answer);
                after(stream);
            });
        }
    });
    (url, heads)
}

const EVERYWHERE: &str = "\"http://127.0.0.1:*\"";

#[test]
fn a_request_reaches_the_component_with_spins_headers_and_no_forged_ones() {
    let host = Host::start("", &[]);
    let headers = host
        .send(&format!(
            "GET /guest/headers?x=1 HTTP/1.1\r\nhost: {}\r\nspin-client-addr: 6.6.6.6:6\r\nspin-secret: x\r\n\
             connection: close\r\n\r\n",
            host.address
        ))
        .text();
    for line in [
        &format!("spin-full-url: http://{}/guest/headers?x=1", host.address),
        "spin-path-info: /headers",
        "spin-raw-component-route: /guest/...",
        "spin-component-route: /guest",
        "spin-base-path: /",
        "spin-client-addr: 127.0.0.1:",
    ] {
        assert!(headers.contains(line), "{line} is not in {headers}");
    }
    assert!(!headers.contains("6.6.6.6") && !headers.contains("spin-secret"), "{headers}");
    assert_eq!(host.get("/elsewhere").status, 404);
    assert!(host.get("/guest/uri").head.contains("\r\ndate: "));
    let body = "x".repeat(100_000);
    let echoed = host.send(&format!(
        "POST /guest/echo HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        host.address,
        body.len()
    ));
    assert_eq!(echoed.text(), body);
}

#[test]
fn variables_are_given_and_others_are_not() {
    let host = Host::start("", &["--variable", "a=2=3"]);
    assert_eq!(host.text("/guest/variable?b"), "Ok(\"<2=3>\")");
    assert!(host.text("/guest/variable?a").contains("Undefined"), "an application's variable isn't the component's");
    assert!(host.text("/guest/variable?B-").contains("InvalidName"));
}

#[test]
fn outbound_requests_go_to_allowed_hosts_only_and_follow_no_redirect() {
    let (url, asked) = upstream(b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 2\r\n\r\nhi", drop);
    let host = Host::start("\"{{ host }}\", \"https://*.example\"", &["--variable", &format!("host={url}")]);
    let answer = host.get(&format!("/guest/fetch?{url}/x?y=1"));
    assert_eq!((answer.status, answer.text().as_str()), (302, "hi"));
    let head = asked.recv().unwrap();
    assert!(head.starts_with("get /x?y=1 http/1.1\r\n"), "{head}");
    assert!(!head.contains("transfer-encoding") && !head.contains("user-agent"), "{head}");
    assert!(head.contains(&format!("host: {}", url.strip_prefix("http://").unwrap())), "{head}");
    let refused = host.text_of_failure("/guest/fetch?http://127.0.0.1:9/");
    assert!(refused.contains("HttpRequestDenied"), "{refused}");
    host.logs("refused to connect to http://127.0.0.1:9");
    assert!(asked.try_recv().is_err(), "the redirect was followed");
}

impl Host {
    fn text_of_failure(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 502);
        answer.text()
    }
}

#[test]
fn what_fails_outbound_is_told_as_what_it_is() {
    let host = Host::start(&format!("{EVERYWHERE}, \"http://*.invalid\""), &[]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(host.text_of_failure(&format!("/guest/fetch?http://{closed}/")).contains("ConnectionRefused"));
    assert!(host.text_of_failure("/guest/fetch?http://name.invalid/").contains("Dns"));
    let (silent, _) = upstream(b"", drop);
    assert!(host.text_of_failure(&format!("/guest/fetch?{silent}/")).contains("ConnectionTerminated"));
    let (cut, _) = upstream(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", drop);
    // It breaks before its head has left, or after.
    let request = format!("GET /guest/fetch?{cut}/ HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host.address);
    let answer = host.try_send(&request);
    assert!(
        answer.as_ref().is_none_or(|answer| !answer.whole),
        "half an answer was passed on as a whole one: {answer:?}"
    );
}

#[test]
fn an_upstream_learns_when_nobody_wants_its_answer() {
    // It goes on for twenty seconds, or until the host closes the connection. A component learns that its client has
    // left when it writes, so there must be something to write.
    let (url, heads) =
        upstream(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", |mut stream| {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(20) && stream.write_all(b"1\r\nx\r\n").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
    let host = Host::start(EVERYWHERE, &[]);
    let mut client = TcpStream::connect(&host.address).unwrap();
    write!(client, "GET /guest/fetch?{url}/ HTTP/1.1\r\nhost: {}\r\n\r\n", host.address).unwrap();
    let mut piece = [0; 1000];
    assert!(client.read(&mut piece).unwrap() > 0);
    heads.recv().unwrap();
    drop(client);
    // Instances with nothing to do end after a second; with the exchange still held, stopping would take its ten.
    thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    host.signal("-TERM");
    let mut host = host;
    assert!(host.process.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "the exchange is still held");
}

#[test]
fn a_component_learns_when_its_client_leaves_a_stream() {
    let host = Host::start("", &[]);
    let mut client = TcpStream::connect(&host.address).unwrap();
    write!(client, "GET /guest/stream HTTP/1.1\r\nhost: {}\r\n\r\n", host.address).unwrap();
    let mut lines = BufReader::new(client).lines();
    // Pieces come as they are written, not at the end.
    assert!(lines.any(|line| line.unwrap() == "3"));
    drop(lines);
    host.logs("the client left after");
}

#[test]
fn a_trap_is_a_500_and_no_more() {
    let host = Host::start("", &[]);
    assert_eq!(host.get("/guest/trap").status, 500);
    host.logs("guest: an instance failed");
    assert_eq!(host.text("/guest/count"), "1", "the next request has a new instance");
    assert_eq!(host.get("/guest/hop").status, 500);
    host.logs("Forbidden");
    host.text("/guest/log?something");
    host.logs("the guest says something");
}

#[test]
fn instances_are_used_again_until_they_are_idle_or_worn_out() {
    let host = Host::start("", &["--max-instance-requests", "128"]);
    let counts: Vec<u32> = (0..130).map(|_| host.text("/guest/count").parse().unwrap()).collect();
    assert_eq!(counts[..128], (1..=128).collect::<Vec<_>>());
    assert_eq!(counts[128..], [1, 2], "an instance answers 128 requests");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(host.text("/guest/count"), "1", "an idle instance is dropped after a second");
}

#[test]
fn requests_are_woken_by_another_one_in_their_instance() {
    let host = Host::start("", &[]);
    host.text("/guest/count");
    let wait = || {
        let mut stream = TcpStream::connect(&host.address).unwrap();
        write!(stream, "GET /guest/wait HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        // Until it waits, another request would be given to another instance.
        thread::sleep(Duration::from_millis(50));
        stream
    };
    let wake = || host.text("/guest/wake").parse::<usize>().unwrap();
    for round in 0..5 {
        let waiting: Vec<_> = (0..8).map(|_| wait()).collect();
        let woken = wake();
        assert!(woken > 1, "round {round}: {woken} of 8 shared an instance");
        thread::sleep(Duration::from_millis(100));
        assert_eq!(wake(), woken, "all that were woken wait again");
        let answers = waiting.into_iter().filter_map(|mut stream| {
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes);
            Answer::parse(&bytes)
        });
        let answers: Vec<_> = answers.collect();
        assert!(answers.iter().all(|answer| answer.whole && answer.text().starts_with("Ok(")), "{round}: {answers:?}");
        assert_eq!(answers.len(), woken);
    }
    assert!(!host.log.lock().unwrap().contains("an instance failed"));
}

#[test]
fn a_busy_instance_does_not_hold_up_others() {
    let host = Host::start("", &[]);
    let mut busy = TcpStream::connect(&host.address).unwrap();
    write!(busy, "GET /guest/busy HTTP/1.1\r\nhost: {}\r\n\r\n", host.address).unwrap();
    thread::sleep(Duration::from_millis(100));
    let answered = (0..50).any(|_| host.get("/guest/count").status == 200);
    assert!(answered);
}

#[test]
fn an_instance_that_only_computes_is_ended_and_its_requests_are_named() {
    let host = Host::start("", &["--max-compute", "1"]);
    let mut busy = TcpStream::connect(&host.address).unwrap();
    let head = "GET /guest/busy?a=secret HTTP/1.1\r\nhost: x\r\nx-request-id: the\"one\r\nconnection: close\r\n\r\n";
    busy.write_all(head.as_bytes()).unwrap();
    // Others are answered meanwhile.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(host.get("/guest/headers").status, 200);
    let mut bytes = Vec::new();
    busy.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    busy.read_to_end(&mut bytes).unwrap();
    assert_eq!(Answer::parse(&bytes).unwrap().status, 500);
    host.logs(
        "guest: an instance failed: it computed for 1 s without a pause (--max-compute); in it were GET /guest/busy",
    );
    let log = host.log.lock().unwrap().clone();
    assert!(log.contains(", the\\\"one)") && !log.contains("secret"), "{log}");
    assert_eq!(host.get("/guest/headers").status, 200);
}

#[test]
fn an_instance_that_computes_with_pauses_is_not_ended() {
    let host = Host::start("", &["--max-compute", "1"]);
    assert_eq!(host.text("/guest/bursts?8"), "done");
    assert!(!host.log.lock().unwrap().contains("failed"));
}

#[test]
fn a_signal_lets_requests_in_flight_finish() {
    for signal in ["-TERM", "-INT"] {
        let mut host = Host::start("", &[]);
        let address = host.address.clone();
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(&address).unwrap();
            write!(stream, "GET /guest/slow?1000 HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            Answer::parse(&bytes).unwrap()
        });
        thread::sleep(Duration::from_millis(300));
        host.signal(signal);
        let answer = client.join().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "waited"));
        assert!(host.process.wait().unwrap().success());
        assert!(TcpStream::connect(&host.address).is_err());
    }
}

#[test]
fn what_cannot_be_served_is_told_at_the_start() {
    let folder = std::env::temp_dir().join(format!("z-image-host-{}-broken", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let start = "spin_manifest_version = 2\n[application]\nname = \"t\"\n[[trigger.http]]\nroute = \"/...\"\n\
                 component = \"c\"\n[component.c]\n";
    fs::write(folder.join("broken.wasm"), b"no component").unwrap();
    for (rest, says) in [
        ("source = \"missing.wasm\"\n[component.c.build]\ncommand = \"make it\"\n", "build it with: make it"),
        ("source = \"broken.wasm\"\n", "no WebAssembly component"),
        ("source = \"c.wasm\"\nfiles = [\"x\"]\n", "files"),
    ] {
        fs::write(folder.join("spin.toml"), format!("{start}{rest}")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_z-image-host"))
            .arg("--manifest")
            .arg(folder.join("spin.toml"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(says), "{said}");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// That many connections which say `text`, and nothing more.
fn silent(host: &Host, count: usize, text: &str) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(&host.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    (0..count).map(open).collect()
}

#[test]
fn compiled_components_are_kept_beside_them_for_the_next_start() {
    let other = Host::start("", &[]);
    let folder = other.folder.join("own");
    fs::create_dir(&folder).unwrap();
    fs::copy(harness::guest(), folder.join("guest.wasm")).unwrap();
    let manifest = fs::read_to_string(other.folder.join("spin.toml")).unwrap();
    let manifest = manifest.replace(&format!("{:?}", harness::guest()), "\"guest.wasm\"");
    fs::write(folder.join("spin.toml"), manifest).unwrap();

    let first = Host::in_folder(folder.clone(), &[]);
    assert_eq!(first.text("/guest/count"), "1");
    let kept = compiled(&folder);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let second = Host::in_folder(folder.clone(), &[]);
    assert_eq!(second.text("/guest/count"), "1");
    assert_eq!(compiled(&folder), kept, "it was compiled again");
}

/// Compiled components beside those in `folder`, each with its file's number.
fn compiled(folder: &Path) -> Vec<(PathBuf, u64)> {
    let entries = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect::<Vec<_>>();
    let versions = entries(&folder.join("compiled/modules"));
    let files = versions.iter().flat_map(|version| entries(&version.path()));
    let files = files.map(|file| (file.path(), file.metadata().unwrap().ino()));
    // Beside each is what says how often it was used.
    files.filter(|(path, _)| path.extension().is_none()).collect()
}

#[test]
fn silent_connections_make_room_for_others() {
    let host = Host::start("", &["--max-connections", "20"]);
    for text in ["", "GET /guest/he", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let connections = silent(&host, 100, text);
        let begun = Instant::now();
        assert_eq!(host.get("/guest/headers").status, 200, "{text:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{text:?}: {:?}", begun.elapsed());
        drop(connections);
    }
}

#[test]
fn connections_without_a_request_are_closed() {
    let host = Host::start("", &["--idle-timeout", "1"]);
    for text in
        ["", "GET /guest/he", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /guest/headers HTTP/1.1\r\nhost: x\r\n\r\n"]
    {
        for mut stream in silent(&host, 3, text) {
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let mut rest = Vec::new();
            // It ends, with or without a word.
            let ended = stream.read_to_end(&mut rest);
            let is_open = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(!is_open, "{text:?} is still open: {}", String::from_utf8_lossy(&rest));
        }
    }
}

#[test]
fn a_head_without_end_is_refused() {
    let host = Host::start("", &["--max-header-bytes", "8192"]);
    let head = format!("GET /guest/headers HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let answer = host.try_send(&head);
    assert!(answer.is_none_or(|answer| answer.status == 431));
    assert_eq!(host.get("/guest/headers").status, 200);
}

/// Head of a request for more than what the network's buffers hold.
const LARGE: &str = "GET /guest/large?64 HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_closed() {
    let host = Host::start("", &["--idle-timeout", "1"]);
    let clients = silent(&host, 3, LARGE);
    host.logs_within("the client left after", Duration::from_secs(60));
    assert_eq!(host.get("/guest/headers").status, 200);
    drop(clients);
}

#[test]
fn a_client_that_takes_its_answer_slowly_gets_it_all() {
    let host = Host::start("", &["--idle-timeout", "2"]);
    let mut client = silent(&host, 1, "GET /guest/large?8 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").remove(0);
    let (begun, mut all, mut piece) = (Instant::now(), Vec::new(), vec![0; 1 << 20]);
    loop {
        let read = client.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        all.extend_from_slice(&piece[..read]);
        // Longer in all than a client may take nothing.
        thread::sleep(Duration::from_millis(if begun.elapsed() < Duration::from_secs(5) { 500 } else { 0 }));
    }
    let answer = Answer::parse(&all).unwrap();
    assert!(answer.whole && answer.body.len() == 8 << 20, "{}", answer.body.len());
}
