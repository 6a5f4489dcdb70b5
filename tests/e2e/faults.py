"""Faults of a server: what it does in place of its answer, and in place of the events of a job."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from wire import Over

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"

HANG = 300
"""Duration of what hangs, in seconds: longer than any test waits."""


@dataclass
class Reply:
    """Answer of a server without a fault."""

    body: bytes
    kind: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def head(self, length: int | None = None, **headers: str) -> bytes:
        lines = [f"HTTP/1.1 {self.status} X", f"content-type: {self.kind}"]
        lines.append(f"content-length: {len(self.body) if length is None else length}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in (self.headers | headers).items()]
        return "\r\n".join([*lines, "", ""]).encode()


Act = Callable[[Reply, asyncio.StreamWriter], Awaitable[None]]


async def send(writer: asyncio.StreamWriter, *pieces: bytes) -> None:
    for piece in pieces:
        writer.write(piece)
        await writer.drain()


async def reset(_: Reply, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    raise Over


async def slow_head(*_: object) -> None:
    await asyncio.sleep(HANG)


async def stalled_body(reply: Reply, writer: asyncio.StreamWriter) -> None:
    await send(writer, reply.head(), reply.body[: len(reply.body) // 2])
    await asyncio.sleep(HANG)


async def dripping_body(reply: Reply, writer: asyncio.StreamWriter) -> None:
    await send(writer, reply.head())
    for byte in reply.body:
        await send(writer, bytes([byte]))
        await asyncio.sleep(0.5)


async def cut_head(reply: Reply, writer: asyncio.StreamWriter) -> None:
    await send(writer, reply.head()[:20])
    raise Over


async def cut_body(reply: Reply, writer: asyncio.StreamWriter) -> None:
    await send(writer, reply.head(), reply.body[: len(reply.body) // 2])
    raise Over


async def length_too_long(reply: Reply, writer: asyncio.StreamWriter) -> None:
    await send(writer, reply.head(len(reply.body) + 1000), reply.body)
    raise Over


async def length_too_short(reply: Reply, writer: asyncio.StreamWriter) -> None:
    await send(writer, reply.head(len(reply.body) // 2), reply.body)


async def garbage(_: Reply, writer: asyncio.StreamWriter) -> None:
    await send(writer, b"\x00\xff\x16\x03\x01" + bytes(range(256)) * 8)
    raise Over


async def huge_header(reply: Reply, writer: asyncio.StreamWriter) -> None:
    await send(writer, reply.head(x=" " + "x" * (2 << 20)), reply.body)


def answer(body: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> Act:
    async def act(_: Reply, writer: asyncio.StreamWriter) -> None:
        reply = Reply(body, kind, status)
        await send(writer, reply.head(**headers), reply.body)

    return act


def status(number: int, **headers: str) -> Act:
    return answer(b'{"detail":"as it is wanted"}', status=number, **headers)


def redirect(where: Callable[[str], str]) -> Act:
    async def act(_: Reply, writer: asyncio.StreamWriter) -> None:
        own = "http://{}:{}".format(*writer.get_extra_info("sockname"))
        reply = Reply(b"", "text/plain", 307)
        await send(writer, reply.head(location=where(own)))

    return act


async def too_large(_: Reply, writer: asyncio.StreamWriter) -> None:
    """40 MB: more than any answer, image or event may have."""
    piece = b" " * (1 << 20)
    await send(writer, Reply(b"", "application/json").head(40 << 20), *itertools.repeat(piece, 40))


async def gzip_bomb(reply: Reply, writer: asyncio.StreamWriter) -> None:
    bomb = Reply(BOMB, reply.kind)
    await send(writer, bomb.head(content_encoding="gzip"), bomb.body)


BOMB = gzip.compress(bytes(64 << 20))
"""64 MB, as 64 KB."""

STATUSES = [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504]
VALIDATOR = {"__type__": "validate", "is_valid": False, "message": "The prompt is too short.", "parameter_name": "x"}

FAULTS: dict[str, Act] = {
    "reset": reset,
    "slow head": slow_head,
    "stalled body": stalled_body,
    "dripping body": dripping_body,
    "cut head": cut_head,
    "cut body": cut_body,
    "length too long": length_too_long,
    "length too short": length_too_short,
    "garbage": garbage,
    "huge header": huge_header,
    "empty": answer(b""),
    "wrong JSON": answer(b'{"event_id":'),
    "wrong types": answer(b'{"version":6,"dependencies":{},"named_endpoints":[7],"event_id":7,"path":7}'),
    "HTML page": answer(b"<!DOCTYPE html><script>alert(1)</script>", "text/html"),
    "deep JSON": answer(b"[" * 100_000),
    "many values": answer(b"[" + b"0," * 2_000_000 + b"0]"),
    "too large": too_large,
    "gzip bomb": gzip_bomb,
    "redirect to itself": redirect(lambda own: own + "/elsewhere"),
    "redirect to another origin": redirect(lambda _: "http://127.0.0.2:9/elsewhere"),
    "redirect in a circle": redirect(lambda own: own + "/config"),
    **{str(number): status(number) for number in STATUSES},
    "429 for 120 s": status(429, retry_after="120"),
    "503 for 120 s": status(503, retry_after="120"),
}
"""By their names: those of any server. `refused` is there too, but the server itself must see to that."""


async def late(reply: Reply, writer: asyncio.StreamWriter) -> None:
    """Answers when nobody waits for it any longer: later than idle_timeout, which is 3 s in the matrix."""
    await asyncio.sleep(4)
    await send(writer, reply.head(), reply.body)


LATE = "joined, and answered late"
FULL = "the queue is full"
REFUSED_BY_VALIDATOR = "422 of a validator"

JOIN_FAULTS: dict[str, Act] = {
    LATE: late,
    FULL: answer(b'{"detail":"Queue is full. Max size is 1 and size is 1."}', status=503),
    REFUSED_BY_VALIDATOR: answer(json.dumps({"detail": [VALIDATOR]}).encode(), status=422),
}

FILE_FAULTS: dict[str, Act] = {
    "an SVG image": answer(b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "image/svg+xml"),
    "a page for an image": answer(b"<!DOCTYPE html><script>alert(1)</script>", "image/png"),
}


def transcript(version: str, name: str) -> list[bytes]:
    """The messages of a recorded stream."""
    text = (TRANSCRIPTS / version / f"{name}.sse").read_bytes()
    return [message + b"\n\n" for message in text.split(b"\n\n") if message.strip()]


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps({"event_id": "x"} | fields).encode() + b"\n\n"


def completed(data: object) -> bytes:
    return event(msg="process_completed", success=True, output={"data": data})


RECORDED = {
    "image": ("6.31.0", "image"),
    "image of 4.44": ("4.44.1", "image"),
    "image of 5.50": ("5.50.0", "image"),
    "generator": ("6.31.0", "generator"),
}
"""Streams that are cut after each of their messages."""

PATH = {"path": "/tmp/gradio/x/image.png"}
STREAMS: dict[str, list[bytes]] = {
    "garbage event": [b"data: {not json\n\n"],
    "bytes that are no text": [b"data: \xff\xfe\x00\n\n"],
    "huge line": [b"data: ", *([b"x" * (1 << 20)] * 40)],
    "lines without end": [b"\n" * (1 << 20)] * 4,
    "event of many values": [completed([[0] * 1_000_000, 1])],
    "deep event": [b'data: {"msg":"process_completed","output":' + b"[" * 100_000 + b"\n\n"],
    "wrong types at the end": [event(msg="process_completed", success="yes", output={"data": 7})],
    "wrong types before the end": [
        event(msg="progress", progress_data={"index": "x"}),
        event(msg="estimation", rank="first"),
        completed([PATH, 42]),
    ],
    "no image": [completed([None, 42])],
    "not an image": [completed(["a text", 42])],
    "no outputs": [completed([])],
    "path out of the folder": [completed([{"path": "/tmp/../../config"}, 42])],
    "URL of another host": [completed([{"url": "http://127.0.0.1:1/evil.png"}, 42])],
    "gr.Error": transcript("6.31.0", "gr-error")[-2:],
    "exception": transcript("6.31.0", "exception")[-2:],
    "GPU quota": transcript("6.31.0", "quota")[-2:],
    "cancelled there": transcript("6.31.0", "cancelled")[-2:],
    "server stops": transcript("6.31.0", "server-stop")[-1:],
    "session is unknown": transcript("6.31.0", "unknown-session")[-1:],
    "closed before the end": [event(msg="close_stream")],
}
"""Words of a job after it has begun, in place of its end."""

HEARTBEATS = "heartbeats for ever"


def script(fault: str, events: list[bytes]) -> Iterable[bytes | float]:
    """Script of a job's stream: bytes, and pauses in seconds."""
    name, _, after = fault.rpartition(" after message ")
    if name:
        version, recording = RECORDED.get(name.removeprefix("cut of "), ("6.31.0", "image"))
        events = transcript(version, recording)
        number = int(after)
        yield from events[:number]
        if name == "cut inside":
            yield events[number][: len(events[number]) // 2]
        if name == "stalled":
            yield float(HANG)
    elif fault in STREAMS:
        yield from events[:2]
        yield from STREAMS[fault]
    elif fault == HEARTBEATS:
        yield from events[:2]
        while True:
            yield event(msg="heartbeat")
            yield 0.2
    else:
        yield from events
