"""`cargo xtask doctor` finds what is wrong with a server, and with the proxy before it."""

from __future__ import annotations

import http.client
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from host import KEY, TARGET, Host
from liar import Liar


class Proxy:
    """A proxy with one fault: ``buffers``, ``strips`` (the key), ``small`` (bodies), ``cuts`` (streams), or none."""

    def __init__(self, upstream: str, fault: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                if fault == "small" and length > 1 << 20:
                    self.send_error(413)
                    return
                headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                if fault == "strips":
                    headers.pop("authorization", None)
                call = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=100)
                call.request(self.command, self.path, self.rfile.read(length), headers)
                answer = call.getresponse()
                is_stream = (answer.getheader("content-type") or "").startswith("text/event-stream")
                held = answer.read() if fault == "buffers" else b""
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "date"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(held)
                while piece := answer.read1(65536):
                    self.wfile.write(piece)
                    self.wfile.flush()
                    if is_stream and fault == "cuts":
                        break
                call.close()

            do_POST = do_DELETE = do_OPTIONS = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def server(slow: Liar) -> Iterator[Host]:
    host = Host(spaces=f"z={slow.url}", extra_host=slow.url, max_tasks=10)
    yield host
    host.end()


def doctor(url: str, *options: str) -> tuple[int, str]:
    command = [TARGET / "debug/xtask", "doctor", "--url", url, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert KEY not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_server_that_is_well(server: Host) -> None:
    status, said = doctor(server.url, "--key", KEY)
    assert status == 0 and "FAULT" not in said and said.endswith("all is well\n"), said
    for line in ("key      it is asked for, and taken", "stream   events come one by one", "bodies   3 MB get through"):
        assert f"ok    {line}" in said, said
    assert "ok    links    an image was made, and its link leads to it" in said


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("buffers", "stream   no event came|stream   the events of"),
        ("strips", "key      the proxy takes the header Authorization away"),
        ("small", "bodies   a proxy refuses a body of 3 MB with HTTP 413"),
        ("cuts", "limits   the stream was cut after"),
    ],
)
def test_a_faulty_proxy_is_found(server: Host, fault: str, words: str) -> None:
    proxy = Proxy(server.url, fault)
    try:
        status, said = doctor(proxy.url, "--key", KEY)
        found = [line for line in said.splitlines() if line.startswith("FAULT")]
        assert status == 1 and len(found) == 1, said
        assert any(word in found[0] for word in words.split("|")), said
    finally:
        proxy.stop()


def test_a_wrong_key_and_no_key(server: Host) -> None:
    status, said = doctor(server.url, "--key", "sk-wrong", "--no-image")
    assert status == 1 and "FAULT key      HTTP 401" in said and "api_keys" in said
    status, said = doctor(server.url, "--no-image")
    assert status == 1 and "Give one with --key." in said


def test_a_server_that_does_not_know_itself_and_has_no_database(slow: Liar) -> None:
    host = Host(spaces=f"z={slow.url}", extra_host=slow.url, public_url="https://images.example")
    status, said = doctor(host.url, "--key", KEY)
    assert status == 1 and f"FAULT address  links lead to https://images.example: set public_url={host.url}" in said
    assert "FAULT links    the image's link can't be reached" in said
    host.end()
    host = Host(
        spaces=f"z={slow.url}", extra_host=slow.url, database="none", auth="open", api_keys="", link_secret="s" * 32
    )
    status, said = doctor(host.url)
    assert status == 1 and "FAULT database HTTP 503" in said, said
    assert "note  key      none is asked for" in said
    host.end()
    status, said = doctor(host.url)
    assert status == 1 and "FAULT reach    no answer" in said
