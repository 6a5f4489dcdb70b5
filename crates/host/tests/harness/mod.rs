//! The host's program, serving a component that follows scripts.
#![allow(dead_code, reason = "each of the tests' programs uses its part")]

pub(crate) mod postgres;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// The component that does what its path says, built once.
pub(crate) fn guest() -> PathBuf {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = folder.join("../../target/test-guest");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--locked", "--target", "wasm32-wasip2", "--manifest-path"])
            .arg(folder.join("tests/guest/Cargo.toml"))
            .env("CARGO_TARGET_DIR", &target)
            .status()
            .unwrap();
        assert!(status.success(), "the test's component can't be built");
        target.join("wasm32-wasip2/release/test_guest.wasm").canonicalize().unwrap()
    };
    GUEST.get_or_init(build).clone()
}

/// The host, serving the guest at `/guest/...`, with a folder of its own.
pub(crate) struct Host {
    pub(crate) process: Child,
    pub(crate) address: String,
    pub(crate) folder: PathBuf,
    pub(crate) log: Arc<Mutex<String>>,
}

impl Host {
    pub(crate) fn start(hosts: &str, arguments: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("z-image-host-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let manifest = format!(
            "spin_manifest_version = 2\n[application]\nname = \"test\"\n[variables]\na = {{ default = \"1\" }}\n\
             host = {{ default = \"\" }}\n\
             [[trigger.http]]\nroute = \"/guest/...\"\ncomponent = \"guest\"\n[component.guest]\nsource = {:?}\n\
             allowed_outbound_hosts = [{hosts}]\nsqlite_databases = [\"default\"]\n\
             [component.guest.variables]\nb = \"<{{{{ a }}}}>\"\n",
            guest()
        );
        fs::write(folder.join("spin.toml"), manifest).unwrap();
        Self::in_folder(folder, arguments)
    }

    pub(crate) fn in_folder(folder: PathBuf, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_z-image-host"))
            .args(["--listen", "127.0.0.1:0", "--manifest"])
            .arg(folder.join("spin.toml"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (errors, lines) = (process.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                lines.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("Serving http://").unwrap_or_else(|| panic!("{line:?} {}", log.lock().unwrap()));
        Self { address: address.to_owned(), process, folder, log }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address))
    }

    pub(crate) fn text(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    /// Answer of the component to that body.
    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        let answer = self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        ));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    pub(crate) fn send(&self, request: &str) -> Answer {
        self.try_send(request).expect("no answer")
    }

    /// `None` where the connection is closed without an answer.
    pub(crate) fn try_send(&self, request: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        // A cut connection is an answer too.
        let _ = stream.read_to_end(&mut bytes);
        Answer::parse(&bytes)
    }

    /// Waits until the log has `text`.
    pub(crate) fn logs(&self, text: &str) {
        self.logs_within(text, Duration::from_secs(5));
    }

    pub(crate) fn logs_within(&self, text: &str, limit: Duration) {
        let begun = Instant::now();
        while !self.log.lock().unwrap().contains(text) {
            assert!(begun.elapsed() < limit, "{text:?} is not in the log: {}", self.log.lock().unwrap());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// True once it came to its end.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let rest = &bytes[split + 4..];
        let (body, whole) = if head.contains("transfer-encoding: chunked") {
            unchunk(rest)
        } else {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            (rest.to_vec(), length.is_none_or(|length| length == rest.len()))
        };
        Some(Self { status, head, body, whole })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return (body, true);
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + length) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + length..).unwrap_or_default();
    }
    (body, false)
}
