"""Messages whose body is known leave in one segment.

Where no side sets TCP_NODELAY, a body that leaves after its head waits until the other side has acknowledged the head,
which takes 40 ms.
"""

from __future__ import annotations

import asyncio
import collections
import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from faults import transcript
from faulty import CONFIG, PNG
from host import KEY, Host
from wire import Caller

ROUNDS = 40
"""Number of generations of each kind: a connection's first packets are acknowledged at once, later ones not."""
DELAY = 0.04
"""Time after which Linux acknowledges what it has received, in seconds."""
PICTURE = PNG + bytes(range(256)) * 80
"""An image of 30 KB, which fits into a segment of loopback, in base64 too. A larger one leaves in several, the last of
which may wait for the others without TCP_NODELAY."""

KINDS = {
    "url": ("POST", "/v1/images/generations", {"prompt": "x", "response_format": "url"}),
    "b64_json": ("POST", "/v1/images/generations", {"prompt": "x", "response_format": "b64_json"}),
    "models": ("GET", "/v1/models", None),
    "error": ("GET", "/v1/images/files/none", None),
    "page": ("GET", "/", None),
    "link": ("GET", "", None),
}


class PlainSpace:
    """A Space on sockets as they are by default, which writes each answer at once, and notes how calls come."""

    def __init__(self) -> None:
        self.reads: dict[str, list[int]] = collections.defaultdict(list)
        """Number of reads that each call took, by its method and path."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            while call := self._read(connection):
                kind, body = self._answer(*call)
                head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)

    def _read(self, connection: socket.socket) -> tuple[str, str] | None:
        """A call's method and path; nothing where the connection has ended."""
        data, reads = b"", 0
        while True:
            try:
                piece = connection.recv(1 << 20)
            except OSError:
                return None
            if not piece:
                return None
            data, reads = data + piece, reads + 1
            head, end, body = data.partition(b"\r\n\r\n")
            lines = head.decode().lower().split("\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
            if end and len(body) >= length:
                method, path, _ = head.decode().split(" ", 2)
                path = path.partition("?")[0]
                self.reads[f"{method} {path}"].append(reads)
                return method, path

    def _answer(self, method: str, path: str) -> tuple[str, bytes]:
        match path:
            case "/config":
                return "application/json", json.dumps(CONFIG | {"root": self.url}).encode()
            case "/gradio_api/info":
                return "application/json", b'{"named_endpoints":{}}'
            case "/gradio_api/queue/join":
                return "application/json", b'{"event_id":"x"}'
            case "/gradio_api/queue/data":
                return "text/event-stream", b"".join(transcript("6.31.0", "image"))
            case _:
                return "application/octet-stream", PICTURE


@pytest.fixture(scope="module")
def plain_space() -> Iterator[PlainSpace]:
    space = PlainSpace()
    yield space
    space.stop()


def host(space: PlainSpace, *options: str) -> Host:
    return Host(spaces=f"z-image-turbo={space.url}", extra_host=space.url, options=options)


@pytest.mark.timed
def test_a_join_comes_in_one_read_and_nothing_waits_for_an_acknowledgement(plain_space: PlainSpace) -> None:
    hosts = [host(plain_space), host(plain_space, "--no-tcp-nodelay")]
    took = asyncio.run(compare([host.url for host in hosts]))
    for one in hosts:
        one.end()
    for kind, (with_nodelay, without) in took.items():
        said = f"{kind}: {1000 * with_nodelay:.2f} ms with TCP_NODELAY, {1000 * without:.2f} ms without"
        assert without - with_nodelay < DELAY / 2, said
    reads = collections.Counter(plain_space.reads["POST /gradio_api/queue/join"])
    # A thread of the host may send the head in the very moment in which another one brings the body.
    assert reads.total() >= 4 * ROUNDS and reads[1] >= 0.9 * reads.total(), reads


async def compare(urls: list[str]) -> dict[str, list[float]]:
    """Medians of each kind of call, in seconds, at each of those hosts; they are called in turn."""
    callers = [Caller(url, {"authorization": f"Bearer {KEY}"}) for url in urls]
    medians = {}
    for kind, (method, path, body) in KINDS.items():
        paths = [await link(caller) if kind == "link" else path for caller in callers]
        took: list[list[float]] = [[] for _ in callers]
        for _ in range(ROUNDS):
            for caller, path, times in zip(callers, paths, took, strict=True):
                begun = time.monotonic()
                answer = await caller.ask(method, path, body)
                times.append(time.monotonic() - begun)
                assert answer.status == (403 if kind == "error" else 200), answer.body
        medians[kind] = [statistics.median(times) for times in took]
    for caller in callers:
        caller.close()
    return medians


async def link(caller: Caller) -> str:
    """Path of an image that is made for it."""
    answer = await caller.ask("POST", "/v1/images/generations", {"prompt": "x", "response_format": "url"})
    return urlsplit(answer.json()["data"][0]["url"]).path
