"""Requests as chat clients build them, read as they read the answers (tests/clients/*.json)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from host import KEY, ROOT, Host, Shapes, Space
from pictures import data_url, events, opened, plain

CALLS = [
    pytest.param(call, id=f"{file.stem}: {call['name']}")
    for file in sorted((ROOT / "tests/clients").glob("*.json"))
    for call in json.loads(file.read_text())
]


@pytest.fixture(scope="module")
def server(space: Space, many: Shapes) -> Iterator[Host]:
    """One that can do everything: images, edits, and edits of several."""
    models = {"z-image-turbo": space.url, "editor": many.urls["editor"], "several": many.urls["several"]}
    host = Host(spaces=",".join(f"{name}={url}" for name, url in models.items()), extra_host="http://127.0.0.1:*")
    yield host
    assert host.stop() == 0


def send(host: Host, call: dict) -> httpx.Response:
    picture = plain("red", (256, 256))
    headers = {"api-key": KEY} if call.get("key") == "api-key" else {"authorization": f"Bearer {KEY}"}
    if "form" in call:
        files = [(name, ("image.png", picture, "image/png")) for name in call["files"]]
        return httpx.post(host.url + call["path"], data=call["form"], files=files, headers=headers, timeout=60)
    if "body" not in call:
        return httpx.get(host.url + call["path"], headers=headers, timeout=60)
    body = json.dumps(call["body"]).replace('"@png"', json.dumps(data_url(picture)))
    headers["content-type"] = "application/json"
    return httpx.post(host.url + call["path"], content=body, headers=headers, timeout=60)


def message(answer: httpx.Response) -> dict:
    """The message of a chat, streamed or not, with its parts joined as clients join them."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return answer.json()["choices"][0]["message"]
    joined = {"content": "", "images": []}
    chunks = [data for _, data in events(answer)]
    assert chunks.pop() == "[DONE]"
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        joined["content"] += choice["delta"].get("content") or ""
        joined["images"] += choice["delta"].get("images", [])
    return joined


def fetched(url: str):
    """Fetches an image as Open WebUI does: with the key, and only if it says that it is an image."""
    answer = httpx.get(url, headers={"authorization": f"Bearer {KEY}"})
    assert answer.headers["content-type"].startswith("image/")
    return opened(answer.content)


def images_of(answer: httpx.Response, reads: str) -> list:
    match reads:
        case "images":
            items = answer.json()["data"]
            return [fetched(item["url"]) if item.get("url") else opened(item["b64_json"]) for item in items]
        case "b64_json":
            return [opened(item["b64_json"]) for item in answer.json()["data"]]
        case "url":
            return [fetched(item["url"]) for item in answer.json()["data"]]
        case "markdown":
            content = message(answer)["content"]
            return [fetched(url) for url in re.findall(r"!\[.*?\]\((https?://.*?)\)", content)]
        case "chat images":
            images = message(answer)["images"]
            assert all(image["type"] == "image_url" for image in images)
            return [opened(image["image_url"]["url"].partition(";base64,")[2]) for image in images]
        case "response markdown":
            said = "".join(data["delta"] for name, data in events(answer) if name == "response.output_text.delta")
            return [fetched(url) for url in re.findall(r"!\[.*?\]\((https?://.*?)\)", said)]
        case "response":
            _, last = events(answer)[-1]
            assert last["type"] == "response.completed"
            return [opened(item["result"]) for item in last["response"]["output"]]
    raise ValueError(reads)


@pytest.mark.parametrize("call", CALLS)
def test_a_call(server: Host, call: dict) -> None:
    answer = send(server, call)
    assert answer.status_code == 200, answer.text[:500]
    expect = call["expect"]
    if expect["reads"] == "text":
        content = message(answer)["content"]
        assert (json.loads(content) if "json" in expect else content) == expect.get("json", expect.get("text"))
        return
    if expect["reads"] == "models":
        assert [model["id"] for model in answer.json()["data"]] == expect["models"]
        return
    images = images_of(answer, expect["reads"])
    assert len(images) == expect.get("count", 1)
    for image in images:
        assert "size" not in expect or list(image.size) == expect["size"]
        assert image.format == expect.get("format", image.format)
