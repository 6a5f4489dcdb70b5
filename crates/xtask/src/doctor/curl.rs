//! HTTP by `curl`, which is on every machine and knows every proxy and certificate that its user's programs do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Time for an answer that needs no image, in seconds.
const PATIENCE: u64 = 60;

/// Text at that place of a value; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, place: &str) -> &'a str {
    value.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

/// A server, and the key that it is asked with.
pub(super) struct Server {
    /// Its address, without a slash at the end.
    pub(super) url: String,
    pub(super) key: Option<String>,
}

/// A request.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// Path below the server's address, or a whole URL.
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: Head,
    pub(super) body: String,
}

/// Headers of an answer, their names in small letters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head(Vec<(String, String)>);

impl Head {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn push(&mut self, line: &str) {
        if let Some((name, value)) = line.split_once(':') {
            self.0.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

impl Answer {
    /// The answer that curl has printed with its head.
    fn parse(printed: &str) -> Result<Self> {
        let mut rest = printed;
        loop {
            let (top, below) = rest.split_once("\r\n\r\n").context("the answer has no head")?;
            let mut lines = top.lines();
            let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
            let status: u16 = status.context("the answer has no status")?;
            if (100..200).contains(&status) {
                rest = below;
                continue;
            }
            let mut head = Head::default();
            lines.for_each(|line| head.push(line));
            return Ok(Self { status, head, body: below.to_owned() });
        }
    }

    /// The body as JSON; null where it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// True for an answer of the API, not of a proxy before it.
    pub(super) fn is_ours(&self) -> bool {
        self.head.get("x-request-id").is_some_and(|id| id.starts_with("req_"))
    }

    /// The status, and what the answer says is wrong.
    pub(super) fn said(&self) -> String {
        let said = self.json().pointer("/error/message").and_then(Value::as_str).map(str::to_owned);
        let said = said.unwrap_or_else(|| self.body.chars().take(80).collect::<String>().replace(['\r', '\n'], " "));
        format!("HTTP {}: {said}", self.status)
    }
}

impl Server {
    pub(super) fn new(url: &str, key: Option<&str>) -> Result<Self> {
        ensure!(url.starts_with("http://") || url.starts_with("https://"), "--url is to begin with https://");
        let url = url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        Ok(Self { url, key: key.map(str::to_owned) })
    }

    /// Asks with the key.
    pub(super) fn ask(&self, request: &Request<'_>) -> Result<Answer> {
        let bearer = self.key.as_ref().map(|key| format!("Bearer {key}"));
        let key = bearer.as_deref().map(|bearer| ("authorization", bearer));
        let headers: Vec<_> = request.headers.iter().copied().chain(key).collect();
        self.ask_without_key(&Request { headers: &headers, body: request.body.clone(), ..*request })
    }

    /// Asks as anybody can.
    pub(super) fn ask_without_key(&self, request: &Request<'_>) -> Result<Answer> {
        let (mut curl, _body) = self.curl(request, PATIENCE)?;
        let mut printed = Vec::new();
        let mut out = curl.stdout.take().context("no standard output")?;
        std::io::copy(&mut out, &mut printed)?;
        let done = curl.wait_with_output()?;
        if !done.status.success() {
            bail!("{}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Answer::parse(&String::from_utf8_lossy(&printed))
    }

    /// Asks for a stream with the key, which may take so many seconds.
    pub(super) fn stream(&self, path: &str, seconds: u64) -> Result<Stream> {
        let bearer = self.key.as_ref().map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let (mut curl, _) = self.curl(&Request { method: "GET", path, headers: &headers, body: None }, seconds)?;
        let out = curl.stdout.take().context("no standard output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok());
        });
        Ok(Stream { curl, lines })
    }

    /// `curl` with that request, and the file of its body. It reads its options from a pipe, so that no list of
    /// processes shows the key.
    fn curl(&self, request: &Request<'_>, seconds: u64) -> Result<(Child, Option<BodyFile>)> {
        let url = if request.path.contains("://") { request.path.to_owned() } else { self.url.clone() + request.path };
        let mut options = format!("url = {}\nrequest = {}\n", quoted(&url), quoted(request.method));
        for (name, value) in request.headers {
            options += &format!("header = {}\n", quoted(&format!("{name}: {value}")));
        }
        // Else it waits for a leave to send a large body.
        options += "header = \"expect:\"\n";
        let body = request.body.as_deref().map(BodyFile::new).transpose()?;
        if let Some(BodyFile(file)) = &body {
            let file = quoted(&format!("@{}", file.display()));
            options += &format!("header = \"content-type: application/json\"\ndata-binary = {file}\n");
        }
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--no-buffer", "--include", "--max-time", &seconds.to_string()]);
        curl.args(["--config", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut curl = curl.spawn().context("cannot run curl")?;
        curl.stdin.take().context("no standard input")?.write_all(options.as_bytes())?;
        Ok((curl, body))
    }
}

/// A body in a file, which goes when this does.
struct BodyFile(PathBuf);

impl BodyFile {
    fn new(body: &str) -> Result<Self> {
        let file = Self(std::env::temp_dir().join(format!("z-image-doctor-{}", std::process::id())));
        std::fs::write(&file.0, body)?;
        Ok(file)
    }
}

impl Drop for BodyFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// A value in curl's configuration.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace(['\r', '\n'], " "))
}

/// An answer that is read line by line as it comes.
pub(super) struct Stream {
    curl: Child,
    lines: Receiver<String>,
}

impl Stream {
    /// The next line; `Err` where the time is over, `Ok(None)` at the end.
    pub(super) fn line(&self, time: Duration) -> Result<Option<String>, RecvTimeoutError> {
        match self.lines.recv_timeout(time) {
            Ok(line) => Ok(Some(line.trim_end().to_owned())),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a line of the stream's head to `head`; false for the line behind it.
    pub(super) fn push_to(line: &str, head: &mut Head) -> bool {
        head.push(line);
        !line.is_empty()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        drop(self.curl.kill());
        drop(self.curl.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_behind_what_is_said_before_it() {
        let printed =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/2 401\r\nX-Request-Id: req_1\r\n\r\n{\"error\":{\"message\":\"No.\"}}";
        let answer = Answer::parse(printed).unwrap();
        assert!(answer.is_ours());
        assert_eq!(answer.said(), "HTTP 401: No.");
        assert!(Answer::parse("HTTP/1.1 200 OK\r\n").is_err());
        let page = Answer::parse("HTTP/1.1 502 Bad Gateway\r\nserver: nginx\r\n\r\n<html>\r\n").unwrap();
        assert_eq!((page.said().as_str(), page.is_ours()), ("HTTP 502: <html>  ", false));
    }

    #[test]
    fn nothing_in_a_value_becomes_an_option() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c d""#);
        assert_eq!(Server::new("https://x/v1/", None).unwrap().url, "https://x");
        assert!(Server::new("x", None).is_err());
    }
}
