"""Answers, compared with the files in tests/golden to the letter, but for ids, times, links and images.

`cargo xtask golden` shows the difference and writes the files anew.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from host import KEY, ROOT, Host, Shapes, Space
from liar import Liar
from pictures import data_url, plain
from waiting import wait_until

GOLDEN = ROOT / "tests/golden"
IMAGES, EDITS, VARIATIONS = "/v1/images/generations", "/v1/images/edits", "/v1/images/variations"
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
SMALL = {"model": "z-image-turbo", "prompt": "a red fox", "size": "256x256", "seed": 7, "steps": 1}
TWO = {"model": "liar", "prompt": "two", "n": 2, "seed": 7}
FAILS = {"model": "z-image-turbo", "prompt": "fault: gr.Error"}
TOOL = {"type": "image_generation", "size": "256x256"}


class Server:
    """The application before a real Space, Spaces of other shapes, and one that fails on purpose."""

    def __init__(self, space: Space, many: Shapes, liar: Liar) -> None:
        self.names = {space.url: "<space>", liar.url: "<liar>", many.urls["editor"]: "<editor>"}
        models = {"z-image-turbo": space.url, "editor": many.urls["editor"], "liar": liar.url}
        # A request's second job comes after the first, so that it is known which of them fails.
        self.host = Host(
            spaces=",".join(f"{name}={url}" for name, url in models.items()),
            extra_host="http://127.0.0.1:*",
            stagger_ms=1500,
            response_ttl=3600,
            api_keys=f"{KEY},sk-another",
        )
        self.names[self.host.url] = "<server>"
        self.client = httpx.Client(base_url=self.host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=100)

    def post(self, path: str, **fields: object) -> httpx.Response:
        return self.client.post(path, json=fields)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def written(self, answer: httpx.Response) -> str:
        """The answer as a golden file has it."""
        kind = answer.headers["content-type"]
        head = f"HTTP {answer.status_code}\ncontent-type: {kind}\n\n"
        if kind.startswith("text/event-stream"):
            blocks = [self.event(event) for event in answer.text.strip("\n").split("\n\n") if not event.startswith(":")]
            # Progress comes in as many events as there is time for.
            events = [block for block, _ in itertools.groupby(blocks)]
            return head + "\n\n".join(events) + "\n"
        return head + self.json(answer.json(), indent=2) + "\n"

    def event(self, text: str) -> str:
        """An event of a stream."""
        lines = []
        for line in text.split("\n"):
            name, _, value = line.partition(": ")
            if name == "id":
                value = "<number>"
            if name == "data" and value.startswith("{"):
                value = self.json(json.loads(value))
            lines.append(f"{name}: {value}")
        return "\n".join(lines)

    def json(self, value: object, indent: int | None = None) -> str:
        return json.dumps(self.plain(value), ensure_ascii=False, indent=indent)

    def plain(self, value: object, key: str = "") -> object:
        """That value, with placeholders for what is another each time."""
        if isinstance(value, dict):
            return {name: self.plain(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [self.plain(one, key) for one in value]
        if isinstance(value, bool) or value is None:
            return value
        if key == "reasoning_content":
            return "<progress>"
        if isinstance(value, int | float):
            if key in NUMBERS:
                return "<number>"
            return "<time>" if key in TIMES and value > 0 else "<duration>" if key in DURATIONS else value
        if key in BYTES and len(value) > 100:
            return "<image>"
        for pattern, placeholder in PATTERNS:
            value = pattern.sub(placeholder, value)
        for url, name in self.names.items():
            value = value.replace(url, name).replace(url.removeprefix("http://"), name)
        return value

    def stop(self) -> None:
        self.client.close()
        assert self.host.stop() == 0


TIMES = {
    "created",
    "created_at",
    "completed_at",
    "expires_at",
    "started_at",
    "ended_at",
    "at",
    "until",
    "updated_at",
    "learnt_at",
}
DURATIONS = {"seconds", "duration", "duration_seconds", "eta_seconds", "wait", "queue", "generate", "fetch", "total"}
NUMBERS = {"sequence", "sequence_number"}
BYTES = {"b64_json", "result", "partial_image_b64"}
PATTERNS = [
    (re.compile(r"data:image/\w+;base64,[A-Za-z0-9+/=]+"), "data:<image>"),
    (re.compile(r"/v1/images/files/[\w-]+"), "/v1/images/files/<token>"),
    (re.compile(r"\b([a-z]+)_(?=[a-z]*\d)[0-9a-zA-Z]{12,}"), r"<\1 id>"),
    (re.compile(r"\bchatcmpl-[0-9A-Za-z-]{8,}"), "<chat id>"),
    (re.compile(r"\b\d+(\.\d+)? s\b"), "<duration> s"),
]


@pytest.fixture(scope="module")
def server(space: Space, many: Shapes, liar: Liar) -> Iterator[Server]:
    server = Server(space, many, liar)
    yield server
    server.stop()


@pytest.fixture
def second_fails(liar: Liar) -> Iterator[None]:
    """Has the liar refuse each request's second job."""
    original, jobs = liar.post, iter(["fine", "unexpected"] * 100)

    def post(handler, call: dict) -> None:
        if "data" in call and call["data"][0].startswith("two"):
            call["data"][0] = next(jobs)
        original(handler, call)

    liar.post = post
    yield
    liar.post = original


@pytest.fixture
def golden(request: pytest.FixtureRequest, server: Server) -> Callable[[str, httpx.Response], None]:
    """Compares an answer with its file, or writes the file and shows what has changed."""

    def compare(name: str, answer: httpx.Response) -> None:
        is_stream = answer.headers["content-type"].startswith("text/event-stream")
        file = GOLDEN / f"{name}.{'sse' if is_stream else 'json'}"
        now = server.written(answer)
        then = file.read_text() if file.exists() else ""
        shown = str(file.relative_to(ROOT))
        difference = "\n".join(
            difflib.unified_diff(then.splitlines(), now.splitlines(), shown, "what goes out now", lineterm="")
        )
        if not request.config.getoption("--update-golden"):
            assert not difference, f"{difference}\n`cargo xtask golden` writes the files anew"
        elif difference:
            print(f"\n{difference}", file=sys.stderr)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(now)

    return compare


def said(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


WAITING: dict[str, tuple[str, dict]] = {
    "images/success": (IMAGES, SMALL | {"n": 2}),
    "images/links": (IMAGES, SMALL | {"response_format": "url"}),
    "images/partial-failure": (IMAGES, TWO),
    "images/refused-by-space": (IMAGES, FAILS),
    "images/wrong-field": (IMAGES, SMALL | {"size": "huge"}),
    "images/unknown-model": (IMAGES, SMALL | {"model": "gpt-image-9"}),
    "images/space-fails": (IMAGES, {"model": "liar", "prompt": "cut"}),
    "images/space-is-full": (IMAGES, {"model": "liar", "prompt": "join 503"}),
    "edits/success": (EDITS, {"model": "editor", "prompt": "blue", "seed": 3, "images": [data_url(plain("red"))]}),
    "edits/no-image": (EDITS, {"model": "editor", "prompt": "blue"}),
    "edits/model-that-cannot": (EDITS, SMALL | {"images": [data_url(plain("red"))]}),
    "chat/success": (CHAT, {"model": "z-image-turbo", "messages": said("a red fox --seed 7 --size 256x256 --steps 1")}),
    "chat/images-beside-text": (
        CHAT,
        {
            "model": "z-image-turbo",
            "messages": said("a red fox --seed 7 --size 256x256 --steps 1"),
            "modalities": ["image", "text"],
        },
    ),
    "chat/partial-failure": (CHAT, {"model": "liar", "messages": said("two --n 2 --seed 7")}),
    "chat/error": (CHAT, {"model": "z-image-turbo", "messages": said("fault: gr.Error")}),
    "chat/wrong-field": (CHAT, {"model": "z-image-turbo", "messages": []}),
    "responses/success": (
        RESPONSES,
        {"model": "z-image-turbo", "input": "a red fox --seed 7 --steps 1", "tools": [TOOL]},
    ),
    "responses/message": (
        RESPONSES,
        {"model": "z-image-turbo", "input": "a red fox --seed 7 --size 256x256 --steps 1"},
    ),
    "responses/partial-failure": (RESPONSES, {"model": "liar", "input": "two --n 2 --seed 7", "tools": [TOOL]}),
    "responses/error": (RESPONSES, {"model": "z-image-turbo", "input": "fault: gr.Error", "tools": [TOOL]}),
}
STREAMED = [name for name in WAITING if name not in ("images/links", "responses/message")]


@pytest.mark.parametrize("name", WAITING)
def test_golden_answer(name: str, server: Server, golden: Callable, second_fails: None) -> None:
    path, fields = WAITING[name]
    golden(name, server.post(path, **fields))


@pytest.mark.parametrize("name", STREAMED)
def test_golden_stream(name: str, server: Server, golden: Callable, second_fails: None) -> None:
    path, fields = WAITING[name]
    golden(f"{name}.stream", server.post(path, **fields, stream=True))


def test_golden_variation(server: Server, golden: Callable) -> None:
    files = {"image": ("red.png", plain("red"), "image/png")}
    answer = server.client.post(VARIATIONS, data={"model": "editor", "seed": "3"}, files=files)
    golden("variations/success", answer)


def test_golden_models(server: Server, golden: Callable) -> None:
    golden("models/list", server.get("/v1/models"))
    # Its Space is known once an image was made.
    assert server.post(EDITS, **WAITING["edits/success"][1]).status_code == 200
    golden("models/one", without(server.get("/v1/models/editor"), "spaces"))
    golden("models/unknown", server.get("/v1/models/gpt-image-9"))


def without(answer: httpx.Response, field: str) -> httpx.Response:
    """The answer without a field that depends on the machine's speed."""
    body = {name: value for name, value in answer.json().items() if name != field}
    return httpx.Response(answer.status_code, headers={"content-type": answer.headers["content-type"]}, json=body)


def test_golden_keys(server: Server, golden: Callable) -> None:
    golden("errors/no-key", httpx.get(f"{server.host.url}/v1/models"))
    golden("errors/wrong-key", httpx.get(f"{server.host.url}/v1/models", headers={"authorization": "Bearer sk-wrong"}))
    golden("errors/unknown-path", server.get("/v1/nothing"))
    golden("errors/wrong-method", server.client.put(IMAGES))
    golden("health/healthz", httpx.get(f"{server.host.url}/healthz"))


def test_golden_tasks(server: Server, golden: Callable, second_fails: None, liar: Liar) -> None:
    submitted = server.post(IMAGES, **SMALL, **{"async": True})
    golden("tasks/submitted", submitted)
    golden("tasks/succeeded", ended(server, submitted))
    golden("tasks/partial-failure", ended(server, server.post(IMAGES, **TWO, **{"async": True})))
    golden("tasks/failed", ended(server, server.post(IMAGES, **FAILS, **{"async": True})))
    held = server.post(IMAGES, model="liar", prompt="held by a task", **{"async": True})
    path = f"/v1/tasks/{held.json()['id']}"

    def is_running() -> bool:
        task = server.get(path).json()
        return "started_at" in task and "space" in task["images"][0]

    wait_until(is_running, pause=0.2)
    golden("tasks/cancelled", server.client.delete(path))
    liar.release("held by a task")
    golden("tasks/forgotten", server.client.delete(path))
    golden("tasks/unknown", server.get("/v1/tasks/task_00000000000000000000000000000000"))
    golden("tasks/list", server.get("/v1/tasks?limit=1"))
    golden("tasks/events", server.get(f"/v1/tasks/{submitted.json()['id']}/events"))


def ended(server: Server, submitted: httpx.Response) -> httpx.Response:
    """The task as it is when it has ended."""
    assert submitted.status_code == 202, submitted.text
    answers: list[httpx.Response] = []

    def is_over() -> bool:
        answers.append(server.get(f"/v1/tasks/{submitted.json()['id']}"))
        return answers[-1].json()["status"] in ("succeeded", "failed", "cancelled")

    wait_until(is_over, pause=0.2)
    return answers[-1]


def test_golden_history(server: Server, golden: Callable) -> None:
    another = {"authorization": "Bearer sk-another"}
    made = server.client.post(IMAGES, json=SMALL, headers=another)
    assert made.status_code == 200

    def listed() -> httpx.Response:
        return server.client.get("/v1/images", headers=another)

    wait_until(lambda: listed().json()["data"])
    golden("history/list", listed())
    name = listed().json()["data"][0]["id"]
    golden("history/deleted", server.client.delete(f"/v1/images/{name}", headers=another))
    golden("history/empty", listed())


def test_golden_files_are_all_compared() -> None:
    """No file is left behind by a case that is gone."""
    source = Path(__file__).read_text()
    for file in GOLDEN.rglob("*.*"):
        name = file.relative_to(GOLDEN).as_posix().removesuffix(file.suffix).removesuffix(".stream")
        assert f'"{name}"' in source, f"{file} belongs to no case"
