"""A private Space of Hugging Face: a real Gradio Space behind a front that lets in nobody without its token.

The front has the Space's own name and a certificate for it, since a token goes nowhere else and over nothing but TLS.
"""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from balancer import Balancer
from host import KEY, Host, Space
from PIL import Image
from waiting import wait_until

from app import seed_of

TOKEN = "hf_canaryOfAPrivateSpace"
NAME = "me-private.hf.space"


def certificate(folder: Path) -> Path:
    """A key and a certificate of that name, which nobody else has signed."""
    key, own, both = folder / "key.pem", folder / "own.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", key, "-out", own, "-days", "2", "-subj", f"/CN={NAME}"]
    command += ["-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(key.read_text() + own.read_text())
    return both


@pytest.fixture(scope="module")
def private(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    pem = certificate(tmp_path_factory.mktemp("private"))
    front = Balancer(space.url, tls=pem, token=TOKEN)
    options = ["--trust", pem, "--resolve", f"{NAME}={front.url.removeprefix('http://')}"]
    models = f'[models.z]\nspaces = [{{ space = "me/private", token = "{TOKEN}" }}]\n'
    host = Host(options=options, catalog=models)
    answers: list[httpx.Response] = []
    headers = {"authorization": f"Bearer {KEY}"}
    http = httpx.Client(base_url=host.url, headers=headers, timeout=60, event_hooks={"response": [answers.append]})
    yield SimpleNamespace(front=front, http=http)
    for answer in answers:
        assert TOKEN not in answer.read().decode() and TOKEN not in str(answer.headers), answer.request.url
    assert len(answers) > 5
    http.close()
    log = host.end()
    assert TOKEN not in log
    front.stop()


def make(private: SimpleNamespace, **fields) -> dict:
    answer = private.http.post("/v1/images/generations", json={"model": "z", "prompt": "a fox", "steps": 1} | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"][0]


def seed(image: bytes) -> int:
    return seed_of(Image.open(io.BytesIO(image)))


def paths(private: SimpleNamespace) -> set[str]:
    return {path.partition("=")[0] for path, *_ in private.front.seen}


def test_an_image_is_fetched_with_the_token(private: SimpleNamespace) -> None:
    private.front.seen.clear()
    assert seed(base64.b64decode(make(private, seed=5)["b64_json"])) == 5
    assert {"/queue/join", "/queue/data", "/file"} <= paths(private)
    assert private.front.strangers == []


def test_a_link_gives_the_image_to_who_has_no_token(private: SimpleNamespace) -> None:
    url = make(private, seed=6, response_format="url")["url"]
    assert "hf.space" not in url and TOKEN not in url
    private.front.seen.clear()
    # No key, and a token that is none.
    for headers in [{}, {"authorization": "Bearer hf_wrong"}]:
        image = httpx.get(url, headers=headers)
        assert image.status_code == 200 and seed(image.content) == 6, image.text[:300]
        assert TOKEN not in str(image.headers)
    part = httpx.get(url, headers={"range": "bytes=0-7"})
    assert (part.status_code, part.content) == (206, image.content[:8])
    assert paths(private) == {"/file"} and private.front.strangers == []


def test_a_stream_a_chat_and_a_task_do_too(private: SimpleNamespace) -> None:
    fields = {"model": "z", "prompt": "a fox", "steps": 2, "stream": True, "partial_images": 1}
    stream = private.http.post("/v1/images/generations", json=fields).text
    assert "image_generation.completed" in stream
    prompt = json.dumps({"prompt": "a fox", "seed": 8, "steps": 1})
    chat = {"model": "z", "messages": [{"role": "user", "content": prompt}]}
    content = private.http.post("/v1/chat/completions", json=chat).json()["choices"][0]["message"]["content"]
    assert seed(httpx.get(content.partition("](")[2].partition(")")[0]).content) == 8
    fields = {"model": "z", "prompt": "a fox", "steps": 1, "seed": 9, "async": True}
    task = private.http.post("/v1/images/generations", json=fields).json()["id"]
    wait_until(lambda: private.http.get(f"/v1/tasks/{task}").json()["status"] == "succeeded", "the task hasn't ended")
    (image,) = private.http.get(f"/v1/tasks/{task}").json()["images"]
    assert seed(httpx.get(image["url"]).content) == 9
    private.http.get("/v1/images")
    private.http.get("/v1/spaces")
    assert private.front.strangers == []
