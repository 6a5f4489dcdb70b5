"""The component for hosts that have WASI and nothing else: under a server that links no more, and `wasmtime serve`."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from host import KEY, TARGET, Host, Space
from PIL import Image

import openai
from app import seed_of

COMPONENT = TARGET / "wasm32-wasip2/release/z_image_2api_wasi.wasm"
SERVER = TARGET / "release/examples/plain_wasi"
WASMTIME = os.environ.get("WASMTIME") or shutil.which("wasmtime")
SETTINGS = {"api_keys": KEY, "stagger_ms": "0", "link_secret": "0123456789abcdef", "database": "sqlite"}


def understands(wasmtime: str) -> bool:
    """True for a wasmtime that has WASI 0.3.0 without being asked for it."""
    said = subprocess.run([wasmtime, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"\d+", said)
    return found is not None and int(found[0]) >= 46


class PlainHost:
    """The component, serving on a free port of loopback until ``stop``, with no more than WASI and an environment."""

    def __init__(self, command: list[str | Path], environment: dict[str, str]) -> None:
        self.command = command
        command = [*command, "--addr", "127.0.0.1:0"]
        for name, value in environment.items():
            command += ["--env", f"{name}={value}"]
        self.process = subprocess.Popen([*command, COMPONENT], stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        for line in self.process.stderr:
            if found := re.match(r"Serving HTTP on (http://127\.0\.0\.1:\d+)/", line):
                self.url = found[1]
                break
            self.log.append(line)
        else:
            raise AssertionError(f"it does not serve: {''.join(self.log)}")
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        self.log.extend(self.process.stderr)

    def stop(self) -> str:
        """Ends it, and returns its log."""
        self.process.terminate()
        self.process.wait(20)
        self._reader.join(5)
        return "".join(self.log)


@pytest.fixture(scope="module", params=["server", "wasmtime"])
def plain(request: pytest.FixtureRequest, space: Space) -> Iterator[PlainHost]:
    command: list[str | Path] = [SERVER]
    if request.param == "wasmtime":
        if not WASMTIME or not understands(WASMTIME):
            pytest.skip("no wasmtime that has WASI 0.3.0 is installed here")
        command = [WASMTIME, "serve", "-S", "cli"]
    settings = SETTINGS | {"spaces": f"z-image-turbo={space.url}"}
    environment = {f"SPIN_VARIABLE_{name.upper()}": value for name, value in settings.items()}
    host = PlainHost(command, environment | {"API_KEYS": "sk-not-one-of-them", "SPIN_VARIABLE_AUTH_": "open"})
    yield host
    log = host.stop()
    notes = re.findall(r"\{.*There is no database on this host.*\}", log)
    assert notes and all(json.loads(note)["level"] == "info" for note in notes), log
    assert "failed" not in log.replace("images_failed", "") and "panicked" not in log and KEY not in log, log


@pytest.fixture
def client(plain: PlainHost) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=plain.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        yield client


def test_an_image_is_made(plain: PlainHost) -> None:
    client = openai.OpenAI(base_url=f"{plain.url}/v1", api_key=KEY, max_retries=0)
    answer = client.images.generate(prompt="a red fox", size="256x256", n=3, extra_body={"seed": 42, "steps": 2})
    images = [Image.open(io.BytesIO(base64.b64decode(item.b64_json))) for item in answer.data]
    assert [(image.size, seed_of(image)) for image in images] == [((256, 256), seed) for seed in (42, 43, 44)]


def test_a_stream_tells_what_happens(client: httpx.Client) -> None:
    fields = {"prompt": "a red fox", "size": "256x256", "steps": 3, "stream": True, "progress": True}
    with client.stream("POST", "/v1/images/generations", json=fields) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: {")]
    events = [json.loads(line)["type"] for line in lines]
    assert len(events) > 1 and events[-1] == "image_generation.completed", events


def test_a_link_gives_its_image_and_leads_where_no_client_says(plain: PlainHost, client: httpx.Client) -> None:
    fields = {"prompt": "a red fox", "size": "256x256", "steps": 1, "response_format": "url"}
    forged = {"spin-full-url": "https://evil.example/v1/images/generations"}
    url = client.post("/v1/images/generations", json=fields, headers=forged).json()["data"][0]["url"]
    # The host doesn't tell what it is called, and neither does the variable public_url here.
    assert url.startswith("/v1/images/files/"), url
    image = httpx.get(f"{plain.url}{url}")
    assert image.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(image.content)).size == (256, 256)


def test_the_studio_is_inside_as_the_file_server_has_it(client: httpx.Client, host: Host) -> None:
    plain = {"accept-encoding": "identity"}
    with httpx.Client(base_url=host.url, timeout=60) as theirs:

        def compare(path: str, headers: dict[str, str], method: str = "GET") -> httpx.Response:
            answers = [one.request(method, path, headers=headers) for one in (client, theirs)]
            shown = [(answer.status_code, {**answer.headers} | {"date": ""}, answer.content) for answer in answers]
            assert shown[0] == shown[1], path
            return answers[0]

        page = compare("/", plain).text
        paths = [f"/{path}" for path in re.findall(r'(?:src|href)="([\w./-]+)"', page)]
        assert "/js/main.js" in paths and "/studio.css" in paths
        for path in [*paths, "/nothing", "//sw.js", "/index.html"]:
            compare(path, {"accept-encoding": "gzip"})
        for headers in (plain, {"range": "bytes=0-9"}, {"accept-encoding": "identity;q=0"}):
            compare("/studio.css", headers)
        tag = compare("/", {"accept-encoding": "gzip"}).headers["etag"]
        assert compare("/", {"accept-encoding": "gzip", "if-none-match": tag}).status_code == 304
        assert int(compare("/js/main.js", plain, "HEAD").headers["content-length"]) > 1000
        assert compare("/", plain, "POST").status_code == 405


def test_what_needs_a_database_is_refused(client: httpx.Client) -> None:
    fields = {"prompt": "a red fox", "size": "256x256", "async": True}
    for answer in (client.post("/v1/images/generations", json=fields), client.get("/v1/tasks")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable"), answer.text
        assert answer.headers["x-should-retry"] == "false"


def test_only_spins_names_of_variables_are_read(plain: PlainHost) -> None:
    for key in ("sk-not-one-of-them", "x"):
        answer = httpx.get(f"{plain.url}/v1/models", headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 401, answer.text
    assert httpx.get(f"{plain.url}/healthz").json() == {"status": "ok"}
    unknown = httpx.get(f"{plain.url}/v1/nothing", headers={"authorization": f"Bearer {KEY}"})
    assert unknown.status_code == 404 and "/v1/nothing" in unknown.json()["error"]["message"]


def test_the_log_has_what_its_level_says(plain: PlainHost) -> None:
    quiet = PlainHost(plain.command, {"SPIN_VARIABLE_API_KEYS": KEY, "SPIN_VARIABLE_LOG_LEVEL": "warn"})
    assert httpx.get(f"{quiet.url}/v1/nothing").status_code == 404
    assert "There is no database" not in quiet.stop()
