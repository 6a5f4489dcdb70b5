"""Clients of the soak: good ones, ones that leave or don't read, and hostile ones.

Each is one request, or a few that belong together; what it counts as is returned.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from host import KEY
from pictures import data_url, plain
from wire import Answer, Caller, call_bytes

IMAGES = "/v1/images/generations"
PICTURE = plain("red")
PICTURE_URL = data_url(PICTURE)
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
FORM = {"content-type": "multipart/form-data; boundary=x"}
JSON = {"content-type": "application/json"}

END = {"succeeded", "failed", "cancelled"}


class Wrong(Exception):
    """An answer that should not have been given."""


class Starved(Exception):
    """An answer that is right where the database has had no time, as on a machine that is too busy."""


@dataclass
class World:
    """Knowledge of the clients."""

    callers: list[Caller]
    chance: random.Random
    tasks: list[str] = field(default_factory=list)
    links: list[tuple[str, bool]] = field(default_factory=list)
    """Paths of images, and whether a sound Space has made them."""
    logs: list[list[str]] = field(default_factory=list)
    """Lines of each host's log."""

    def has_starved(self) -> bool:
        """True where a host has ever found its database failing."""
        return any("The database fails" in line for log in self.logs for line in log)

    def caller(self) -> Caller:
        return self.chance.choice(self.callers)

    def model(self) -> str:
        return self.chance.choices(["sound", "mixed", "poor", "slow"], [50, 30, 12, 8])[0]

    def order(self, model: str, **fields: object) -> dict:
        return {
            "model": model,
            "prompt": f"a fox {self.chance.random()}",
            "n": self.chance.choice([1, 1, 1, 2]),
        } | fields


def judged(model: str, answer: Answer) -> str:
    """Name of an answer's kind; a sound model's must be well, and none may be this server's own failure."""
    error = answer.error().get("code")
    if error in ("store_unavailable", "idempotency_in_progress"):
        raise Starved(error)
    if answer.status == 500 or (model == "sound" and answer.status != 200):
        raise Wrong(f"{model}: {answer.status} {answer.body[:300]!r}")
    return str(answer.status) if answer.status == 200 else f"{answer.status} {error}"


async def generation(world: World) -> str:
    model = world.model()
    form = world.chance.choice(["b64_json", "url"])
    answer = await world.caller().ask("POST", IMAGES, world.order(model, response_format=form))
    if answer.status == 200 and form == "url" and len(world.links) < 1000:
        path = "/" + answer.json()["data"][0]["url"].split("/", 3)[3]
        world.links.append((path, model in ("sound", "slow")))
    return judged(model, answer)


async def chat(world: World) -> str:
    model = world.model()
    streams = world.chance.random() < 0.5
    fields = {"model": model, "messages": [{"role": "user", "content": "a red fox"}], "stream": streams}
    answer = await world.caller().ask("POST", "/v1/chat/completions", fields)
    if streams and answer.status == 200 and not answer.body.endswith(b"data: [DONE]\n\n"):
        raise Wrong(f"a chat has no end: {answer.body[-200:]!r}")
    return judged(model, answer)


async def stream(world: World) -> str:
    model = world.model()
    fields = world.order(model, stream=True, progress=True, partial_images=world.chance.choice([0, 2]))
    answer = await world.caller().ask("POST", IMAGES, fields)
    if answer.status != 200:
        return judged(model, answer)
    text = answer.body.decode()
    if "image_generation.completed" in text:
        return "200"
    if model == "sound" or "event: error" not in text:
        raise Wrong(f"{model}: a stream without an end: {text[-300:]}")
    return "200, an error event"


async def edit(world: World) -> str:
    model = world.chance.choice(["sound", "mixed"])
    if world.chance.random() < 0.5:
        fields = {"model": model, "prompt": "blue", "images": [{"image_url": PICTURE_URL}]}
        answer = await world.caller().ask("POST", "/v1/images/edits", fields)
    else:
        form = b'--x\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        parts = [(b"model", b"", model.encode()), (b"prompt", b"", b"blue")]
        parts.append((b"image", b'; filename="a.png"\r\ncontent-type: image/png', PICTURE))
        body = b"".join(form % part for part in parts) + b"--x--\r\n"
        answer = await world.caller().ask("POST", "/v1/images/edits", body, FORM)
    return judged(model, answer)


async def task(world: World) -> str:
    fields = world.order(world.chance.choice(["sound", "mixed"])) | {"async": True}
    answer = await world.caller().ask("POST", IMAGES, fields)
    if answer.status == 202:
        world.tasks.append(answer.json()["id"])
    elif judged("mixed", answer) != "429 too_many_tasks":
        raise Wrong(f"a task was refused: {answer.status} {answer.body[:300]!r}")
    return str(answer.status)


async def poll(world: World) -> str:
    if not world.tasks:
        return "none"
    name = world.chance.choice(world.tasks[-200:])
    answer = await world.caller().ask("GET", f"/v1/tasks/{name}")
    if judged("mixed", answer) != "200":
        raise Wrong(f"a task is not there: {answer.status} {answer.body[:300]!r}")
    return answer.json()["status"]


async def repeat(world: World) -> str:
    """The same request twice at once, with one key: one image."""
    key = {"idempotency-key": str(uuid.UUID(int=world.chance.getrandbits(128)))}
    fields = world.order("sound", n=1)
    calls = [world.caller().ask("POST", IMAGES, fields, key) for _ in range(2)]
    first, second = await asyncio.gather(*calls)
    for answer in (first, second):
        judged("sound", answer)
    if first.body != second.body:
        # Without the database, requests are answered as if they had no key.
        raise (Starved if world.has_starved() else Wrong)("two answers to one key")
    return "200"


async def leaving(world: World) -> str:
    """Begins a stream, and is gone after some bytes of it, or at its end."""
    fields = world.order(world.model(), stream=True, progress=True)
    limit = world.chance.choice([0, 0, 1, 200, 2000])
    async with asyncio.timeout(150), world.caller().open("POST", IMAGES, fields) as (head, reader):
        if limit > 0:
            async for piece in head.pieces(reader):
                limit -= len(piece)
                if limit <= 0:
                    break
    return "left"


async def leaving_early(world: World) -> str:
    """Is gone in the middle of its own request, or before its answer has begun."""
    caller = world.caller()
    body = json.dumps(world.order(world.model())).encode()
    call = call_bytes("POST", IMAGES, body, AUTHORIZED | JSON)
    _, writer = await asyncio.open_connection(*caller.address)
    writer.write(call[: world.chance.randrange(len(call) + 1)])
    await writer.drain()
    await asyncio.sleep(world.chance.choice([0, 0.01, 0.1]))
    writer.transport.abort()
    return "left"


async def not_reading(world: World) -> str:
    """Takes nothing of an answer of megabytes for a while, and is gone."""
    fields = world.order("large", n=4, stream=True)
    async with world.caller().open("POST", IMAGES, fields) as (_, reader):
        reader._transport.pause_reading()
        await asyncio.sleep(world.chance.uniform(0.5, 3))
    return "left"


def bodies(chance: random.Random) -> tuple[bytes, dict[str, str]]:
    """A body that is meant to hurt."""
    size = chance.choice([1_000, 10_000, 100_000])
    return chance.choice(
        [
            (b"[" * size, JSON),
            (b'{"a":' * size, JSON),
            (b"[" + b"{}," * size + b"{}]", JSON),
            (b'{"prompt": "' + b"\\u0000" * size + b'"}', JSON),
            (b'{"prompt": "x", "%s": 1}' % (b"k" * size), JSON),
            (b'{"prompt": 7, "n": "many"}', JSON),
            (b"\xff\xfe" * size, JSON),
            (b"--x\r\n" * size, FORM),
            (b"--x\r\ncontent-disposition: form-data; name=" + b"a" * size, FORM),
            (b"", FORM),
        ]
    )


async def hostile_body(world: World) -> str:
    body, headers = bodies(world.chance)
    path = world.chance.choice([IMAGES, "/v1/images/edits", "/v1/chat/completions", "/v1/responses"])
    answer = await world.caller().ask("POST", path, body, headers)
    # A field of a long name is no fault of a request.
    if answer.status not in (200, 400, 413, 415, 422) and not answer.status > 500:
        raise Wrong(f"a hostile body: {answer.status} {answer.body[:300]!r}")
    return str(answer.status)


async def hostile_bytes(world: World) -> str:
    """No HTTP, or a little of it."""
    size = world.chance.choice([10, 1000, 200_000])
    said = world.chance.choice(
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nx: " + b"y" * size,
            b"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            b"GET /" + b"a" * size + b" HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * size + b"\r\n",
        ]
    )
    reader, writer = await asyncio.open_connection(*world.caller().address)
    try:
        writer.write(said)
        await asyncio.wait_for(writer.drain(), 5)
        await asyncio.wait_for(reader.read(1000), world.chance.choice([0.01, 0.5]))
    except (OSError, asyncio.TimeoutError):
        pass
    finally:
        writer.transport.abort()
    return "said"


async def link(world: World) -> str:
    """Links that are good, forged, asked for in part, or by HEAD."""
    if not world.links:
        return "none"
    path, is_sound = world.chance.choice(world.links)
    kind = world.chance.choice(["good", "head", "part", "forged", "cut"])
    method, headers = ("HEAD" if kind == "head" else "GET"), {}
    if kind == "part":
        headers = {"range": "bytes=10-99"}
    at = world.chance.randrange(len("/v1/images/files/"), path.rindex("."))
    if kind == "forged":
        path = path[:at] + ("A" if path[at] != "A" else "B") + path[at + 1 :]
    if kind == "cut":
        path = path[:at]
    try:
        answer = await world.caller().ask(method, path, None, headers)
    except asyncio.IncompleteReadError as broken:
        # An answer without a head would have no number of bytes that were expected.
        if is_sound or kind in ("forged", "cut") or broken.expected is None:
            raise
        # Its Space has broken off where the status was sent, so the client's connection is.
        return f"{kind}: broken off"
    if kind in ("forged", "cut") and answer.status < 400:
        raise Wrong(f"a forged link was taken: {path}")
    if answer.status == 500:
        raise Wrong(f"a link: {answer.body[:300]!r}")
    return f"{kind}: {answer.status}"


async def reading(world: World) -> str:
    path = world.chance.choice(["/v1/models", "/v1/spaces", "/v1/tasks?limit=5", "/v1/images?limit=5", "/healthz", "/"])
    answer = await world.caller().ask("GET", path)
    return judged("sound", answer)


CLIENTS: dict[str, tuple[float, Callable[[World], Awaitable[str]]]] = {
    "generation": (30, generation),
    "stream": (14, stream),
    "chat": (10, chat),
    "edit": (7, edit),
    "task": (5, task),
    "poll": (4, poll),
    "repeat": (4, repeat),
    "leaving": (6, leaving),
    "leaving early": (3, leaving_early),
    "not reading": (0.3, not_reading),
    "hostile body": (3, hostile_body),
    "hostile bytes": (2, hostile_bytes),
    "link": (5, link),
    "reading": (6, reading),
}
"""Share of each kind, and the kind."""
