"""HTTP/1.1 in asyncio, on both sides and as bare as it can be: for many calls, and for those that break rules."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

LIMIT = 1 << 20
"""Longest head that is read, in bytes."""
IDLE = 20
"""Time after which a kept connection isn't used again, in seconds: before the host closes it."""


@dataclass
class Head:
    """First line and headers, of a call or an answer."""

    line: list[str]
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> Head:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.split("\r\n")
        headers = {}
        for line in lines[:-2]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return cls(first.split(" ", 2), headers)

    @property
    def status(self) -> int:
        return int(self.line[1])

    async def pieces(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int((await reader.readline()).split(b";")[0], 16):
                yield await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        elif "content-length" in self.headers:
            left = int(self.headers["content-length"])
            while left:
                piece = await reader.read(min(left, 65536))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", left)
                left -= len(piece)
                yield piece
        elif self.line[0].startswith("HTTP/"):
            while piece := await reader.read(65536):
                yield piece

    async def body(self, reader: asyncio.StreamReader) -> bytes:
        return b"".join([piece async for piece in self.pieces(reader)])


@dataclass
class Answer:
    """An answer that has come whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)

    def error(self) -> dict:
        """OpenAI's error object; empty where the answer is none."""
        with contextlib.suppress(ValueError, AttributeError):
            return self.json().get("error") or {}
        return {}


def address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    return host, int(port)


def call_bytes(method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    """A call's bytes."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


class Caller:
    """Calls one server, over connections that are kept."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.address = address(url)
        self.headers = dict(headers or {})
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    @contextlib.asynccontextmanager
    async def open(
        self, method: str, path: str, body: bytes | dict | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[Head, asyncio.StreamReader]]:
        """An answer whose body has not been read; the connection ends with it."""
        reader, writer = await asyncio.open_connection(*self.address, limit=LIMIT)
        try:
            writer.write(self._call(method, path, body, headers))
            await writer.drain()
            yield await Head.read(reader), reader
        finally:
            writer.close()

    def _call(self, method: str, path: str, body: bytes | dict | None, headers: Mapping[str, str] | None) -> bytes:
        sent = self.headers | dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            sent = {"content-type": "application/json"} | sent
        return call_bytes(method, path, body, sent)

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 150,
    ) -> Answer:
        """The whole answer, over a connection that is kept for the next call where it can be."""
        return await asyncio.wait_for(self._ask(method, self._call(method, path, body, headers)), timeout)

    async def _ask(self, method: str, call: bytes) -> Answer:
        reader, writer = await self._connection()
        is_kept = False
        try:
            writer.write(call)
            await writer.drain()
            head = await Head.read(reader)
            body = b"" if method == "HEAD" else await head.body(reader)
            is_kept = head.headers.get("connection", "").lower() != "close"
        finally:
            if is_kept:
                self._idle.append((time.monotonic(), reader, writer))
            else:
                writer.close()
        return Answer(head.status, head.headers, body)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            since, reader, writer = self._idle.pop()
            if not reader.at_eof() and time.monotonic() - since < IDLE:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(*self.address, limit=LIMIT)

    def close(self) -> None:
        for _, _, writer in self._idle:
            writer.close()
        self._idle.clear()


class Over(Exception):
    """The end of a connection, as a server wants it."""


class CallServer:
    """Answers calls on a port of loopback, one after the other of each connection."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task] = set()

    async def _answer(
        self, head: Head, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answers a call; ``Over`` ends its connection."""
        raise NotImplementedError

    async def _listen(self, port: int = 0) -> int:
        """Listens on that port, or a free one, which is returned."""
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", port, limit=LIMIT)
        return self._server.sockets[0].getsockname()[1]

    def _deafen(self) -> None:
        """Takes no more connections."""
        if self._server:
            self._server.close()
            self._server = None

    def _hang_up(self) -> None:
        """Ends all connections."""
        for talk in self._talks:
            talk.cancel()

    async def stop(self) -> None:
        self._deafen()
        self._hang_up()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        self._talks.add(talk)
        try:
            while True:
                head = await Head.read(reader)
                await self._answer(head, await head.body(reader), reader, writer)
        except (Over, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self._talks.discard(talk)
            with contextlib.suppress(OSError):
                writer.close()
