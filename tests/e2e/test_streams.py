"""Images while they are made, by the official SDK and by the letter."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import httpx
import pytest
from host import KEY, Host, Shapes
from liar import Liar
from pictures import events, opened, plain
from shapes import arguments_of
from waiting import wait_until

import openai
from app import seed_of


def test_an_image_and_what_it_looked_like_before(many: Shapes) -> None:
    stream = many.client.images.generate(
        model="generator", prompt="a fox", stream=True, partial_images=2, extra_body={"seed": 7, "steps": 6}
    )
    seen = list(stream)
    *partials, last = seen
    # One that would come after the image itself is left out.
    assert len(partials) in (1, 2) and {event.type for event in partials} == {"image_generation.partial_image"}
    indices = [event.partial_image_index for event in partials]
    assert indices == sorted(set(indices)) and set(indices) <= {0, 1}
    steps = [arguments_of(opened(event.b64_json))["step"] for event in seen]
    assert steps == sorted(set(steps)) and steps[-1] == 5
    assert last.type == "image_generation.completed"
    assert (last.size, last.seed, last.usage.output_tokens) == ("256x256", 7, 1)
    none = many.client.images.generate(model="generator", prompt="a fox", stream=True)
    assert [event.type for event in none] == ["image_generation.completed"]


def test_several_images_asynchronously(host: Host) -> None:
    async def several() -> dict[int, int]:
        async with openai.AsyncOpenAI(base_url=f"{host.url}/v1", api_key=KEY, max_retries=0) as client:
            stream = await client.images.generate(
                prompt="x", n=3, size="256x256", stream=True, extra_body={"seed": 40, "steps": 1}
            )
            return {event.image_index: seed_of(opened(event.b64_json)) async for event in stream}

    assert asyncio.run(several()) == {0: 40, 1: 41, 2: 42}


def test_an_edit(many: Shapes) -> None:
    stream = many.client.images.edit(
        model="editor", prompt="blue", image=("a.png", plain("red")), stream=True, extra_body={"seed": 3}
    )
    (event,) = stream
    assert (event.type, event.seed) == ("image_edit.completed", 3)
    assert arguments_of(opened(event.b64_json))["image"] == [255, 0, 0]
    assert event.usage.input_tokens_details.image_tokens == 1


def test_progress_for_those_who_ask(http: httpx.Client) -> None:
    fields = {"prompt": "x", "size": "256x256", "steps": 4, "stream": True, "progress": True}
    received = events(http.post("/v1/images/generations", json=fields))
    states = [data for name, data in received if name == "image_generation.progress"]
    assert states[0]["state"] == "queued" and states[0]["queue_position"] == 0
    steps = [data["step"] for data in states if "step" in data]
    # Where one is not taken before the next comes, the next stands for both.
    assert steps and steps == sorted(set(steps)) and set(steps) <= {1, 2, 3, 4}, steps
    assert received[-1][0] == "image_generation.completed"
    del fields["progress"]
    assert [name for name, _ in events(http.post("/v1/images/generations", json=fields))] == [
        "image_generation.completed"
    ]


def test_a_large_image_is_written_in_small_pieces(host: Host) -> None:
    """Chunks of HTTP (RFC 9112 section 7.1), by the letter: nobody has to hold an image's whole line at once."""
    body = json.dumps(
        {"prompt": "x", "size": "2048x2048", "steps": 1, "stream": True, "output_format": "png", "seed": 5}
    )
    head = [
        "POST /v1/images/generations HTTP/1.1",
        "host: x",
        f"authorization: Bearer {KEY}",
        f"content-length: {len(body)}",
    ]
    url = httpx.URL(host.url)
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        connection.sendall("\r\n".join([*head, "", body]).encode())
        answer = connection.makefile("rb")
        assert answer.readline().startswith(b"HTTP/1.1 200 ")
        while answer.readline() != b"\r\n":
            pass
        pieces = []
        while length := int(answer.readline(), 16):
            pieces.append(answer.read(length + 2)[:-2])
    assert len(pieces) > 1 and max(map(len, pieces)) < 3 * (128 << 10), [len(piece) for piece in pieces]
    data = json.loads(b"".join(pieces).split(b"data: ")[1])
    assert seed_of(opened(data["b64_json"])) == 5


def test_links_in_a_stream(http: httpx.Client) -> None:
    fields = {"prompt": "x", "size": "256x256", "steps": 1, "stream": True, "response_format": "url", "seed": 9}
    ((_, data),) = events(http.post("/v1/images/generations", json=fields))
    assert seed_of(opened(httpx.get(data["url"]).content)) == 9


@pytest.mark.parametrize(
    ("prompt", "code"),
    [("fault: gr.Error", "rejected_by_space"), ("fault: exception", "space_error"), ("fault: no image", "no_image")],
)
def test_an_error_in_mid_stream_is_raised(client: openai.OpenAI, prompt: str, code: str) -> None:
    with pytest.raises(openai.APIError) as error:
        list(client.images.generate(prompt=prompt, stream=True))
    assert error.value.code == code and error.value.message
    assert not isinstance(error.value, openai.APIStatusError)


def test_an_error_before_the_stream_has_its_status(client: openai.OpenAI, http_lied_to: httpx.Client) -> None:
    with pytest.raises(openai.BadRequestError):
        client.images.generate(prompt="x", size="huge", stream=True)
    answer = http_lied_to.post("/v1/images/generations", json={"prompt": "join 503", "stream": True})
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "server_is_overloaded"


@pytest.mark.busy
def test_silence_is_filled_and_a_client_that_leaves_takes_its_job_along(liar: Liar) -> None:
    host = Host(spaces=f"z={liar.url}", extra_host=liar.url, idle_timeout=60)
    before = set(liar.jobs)
    try:
        begun = time.monotonic()
        fields = {"prompt": "hang", "stream": True}
        headers = {"authorization": f"Bearer {KEY}"}
        with httpx.stream(
            "POST", f"{host.url}/v1/images/generations", json=fields, headers=headers, timeout=60
        ) as answer:
            assert next(answer.iter_lines()) == ": heartbeat"
            assert time.monotonic() - begun > 5
        (session,) = set(liar.jobs) - before
        wait_until(lambda: session in liar.cancelled, "it is to be noticed with the next heartbeat")
    finally:
        assert host.stop() == 0
