"""What is large, and how much of it an instance takes on at a time: an instance that has no memory left traps, and all
its requests with it.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest
from host import Host
from liar import PNG, Liar, large
from pictures import events
from strangers import HEADERS, generate, serving, strangers

# Calls are asked beside, and held to times.
pytestmark = pytest.mark.timed

MANY = HEADERS | {"content-type": "application/json"}


@pytest.fixture(scope="module")
def shared(liar: Liar) -> Iterator[Host]:
    with serving(liar) as host:
        yield host


def post(url: str, body: bytes) -> httpx.Response:
    return httpx.post(url, content=body, headers=MANY, timeout=100)


def images(answer: httpx.Response) -> list[bytes]:
    assert answer.status_code == 200, answer.text[:500]
    return [b64decode(image["b64_json"]) for image in answer.json()["data"]]


def test_ten_large_images_are_one_answer(shared: Host, liar: Liar) -> None:
    with strangers(shared, liar, "held while ten are written"):
        answer = generate(shared, "megabytes 20", n=10)
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert images(answer) == [large("megabytes 20")] * 10


def test_large_images_of_many_clients_come_whole(shared: Host, liar: Liar) -> None:
    with strangers(shared, liar, "held while eight are served"), ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: generate(shared, "megabytes 8", n=4), range(8)))
        for answer in answers:
            assert images(answer) == [large("megabytes 8")] * 4


def test_an_image_that_breaks_off_while_it_is_written_is_gone_on_with(shared: Host) -> None:
    assert images(generate(shared, "breaking 25")) == [large("breaking 25")]


def test_a_stream_of_large_images_is_whole(shared: Host) -> None:
    told = events(generate(shared, "megabytes 30", n=2, stream=True))
    made = [data for name, data in told if name == "image_generation.completed"]
    assert [b64decode(event["b64_json"]) for event in made] == [large("megabytes 30")] * 2


def test_images_that_come_in_events_wait_for_memory_or_are_refused(shared: Host, liar: Liar) -> None:
    with strangers(shared, liar, "held while events come"), ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: generate(shared, "inline 20"), range(6)))
    made = [answer for answer in answers if answer.status_code == 200]
    assert made and all(images(answer) == [large("inline 20")] for answer in made)
    for answer in answers:
        if answer.status_code != 200:
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "server_is_overloaded"), answer.text
            assert answer.headers["retry-after"] and answer.headers["x-should-retry"] == "true"


@pytest.mark.parametrize("escape", [False, True], ids=["plain", "escaped slashes"])
def test_large_images_in_json_of_many_clients_are_taken_or_refused(shared: Host, liar: Liar, *, escape: bool) -> None:
    data = b64encode(PNG + bytes(range(255)) * 150_000).decode()
    url = json.dumps(f"data:image/png;base64,{data}")
    url = url.replace("/", "\\/") if escape else url
    body = f'{{"prompt":"fine","image":{url}}}'.encode()

    with strangers(shared, liar, f"held while JSON comes {escape}"), ThreadPoolExecutor() as pool:
        answers = list(pool.map(partial(post, f"{shared.url}/v1/images/edits"), [body] * 4))
    # The model only makes images: that is said once the image has been read.
    codes = [answer.json()["error"]["code"] for answer in answers]
    assert "unsupported_by_model" in codes and set(codes) <= {"unsupported_by_model", "server_is_overloaded"}, codes


@pytest.mark.parametrize(
    "text", [b"\\n", b"x ", b"data:image/png;base64,", b'",["'], ids=["escapes", "words", "marks", "values"]
)
def test_large_texts_are_refused(shared: Host, liar: Liar, text: bytes) -> None:
    body = b'{"messages":[{"role":"user","content":"' + text * (50_000_000 // len(text)) + b'"}]}'
    with strangers(shared, liar, f"held while text comes {text!r}"), ThreadPoolExecutor() as pool:
        answers = list(pool.map(partial(post, f"{shared.url}/v1/chat/completions"), [body] * 2))
    assert [answer.status_code for answer in answers] == [413] * 2, answers[0].text


def test_large_forms_of_many_clients_are_taken_or_refused(shared: Host, liar: Liar) -> None:
    files = [("image[]", ("a.png", PNG + bytes(25 << 20), "image/png")) for _ in range(2)]

    def edit(_: int) -> httpx.Response:
        url = f"{shared.url}/v1/images/edits"
        return httpx.post(url, data={"prompt": "fine"}, files=files, headers=HEADERS, timeout=100)

    with strangers(shared, liar, "held while forms come"), ThreadPoolExecutor() as pool:
        answers = list(pool.map(edit, range(4)))
    codes = [answer.json()["error"]["code"] for answer in answers]
    assert "unsupported_by_model" in codes and set(codes) <= {"unsupported_by_model", "server_is_overloaded"}, codes
