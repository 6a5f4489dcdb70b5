"""Requests that are sent again with their Idempotency-Key, by the official SDK and by the letter."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from host import KEY, Host, Shapes
from liar import Liar
from pictures import events, plain
from waiting import wait_until

import openai

pytestmark = pytest.mark.busy


@pytest.fixture(scope="module")
def front(liar: Liar) -> Iterator[Host]:
    """The application in front of the Space that counts its jobs."""
    host = Host(spaces=f"z-image-turbo={liar.url}", extra_host=liar.url)
    yield host
    host.end()


@pytest.fixture
def sdk(front: Host) -> Callable[..., openai.OpenAI]:
    return lambda retries=0: openai.OpenAI(base_url=f"{front.url}/v1", api_key=KEY, max_retries=retries)


@pytest.fixture
def post(front: Host) -> Iterator[Callable[..., httpx.Response]]:
    with httpx.Client(base_url=front.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        yield lambda fields, key, **more: client.post(
            "/v1/images/generations", json=fields, headers={"idempotency-key": key}, **more
        )


@pytest.fixture
def key() -> str:
    return str(uuid.uuid4())


def joins(liar: Liar) -> int:
    """Number of jobs that the Space was given."""
    return sum(path.endswith("/queue/join") for path in liar.paths())


def test_the_sdk_sends_a_request_again(sdk: Callable[..., openai.OpenAI], liar: Liar, key: str) -> None:
    before = joins(liar)

    def make(prompt: str = "fine") -> tuple[openai.types.ImagesResponse, httpx.Headers]:
        raw = sdk().images.with_raw_response.generate(prompt=prompt, extra_headers={"Idempotency-Key": key})
        return raw.parse(), raw.headers

    first, headers = make()
    assert "idempotency-replayed" not in headers
    again, headers = make()
    assert (again, headers["idempotency-replayed"]) == (first, "true")
    time.sleep(1.5)  # An idle instance is dropped after a second.
    later, headers = make()
    assert (later, headers["idempotency-replayed"]) == (first, "true")
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        make("another")
    assert (caught.value.code, caught.value.type) == ("idempotency_key_reused", "invalid_request_error")
    assert joins(liar) == before + 1


def test_two_at_once_are_one_job(post: Callable[..., httpx.Response], liar: Liar, key: str) -> None:
    before = joins(liar)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, {"prompt": f"held {key}"}, key)
        # It waits for the Space then, and its instance takes another one.
        wait_until(lambda: joins(liar) > before)
        waiting = pool.submit(post, {"prompt": f"held {key}"}, key)
        time.sleep(0.5)
        assert not waiting.done(), "it waits"
        liar.release(f"held {key}")
    second = waiting.result()
    assert (first.result().status_code, second.status_code) == (200, 200), "another instance would have said 409"
    assert first.result().content == second.content
    assert second.headers["idempotency-replayed"] == "true" and "idempotency-replayed" not in first.result().headers
    assert joins(liar) == before + 1


def test_more_than_an_instance_takes_are_one_job_and_one_answer(
    sdk: Callable[..., openai.OpenAI], post: Callable[..., httpx.Response], liar: Liar, key: str
) -> None:
    before = joins(liar)

    def make() -> str:
        made = sdk(2).images.generate(prompt="slow", extra_headers={"Idempotency-Key": key})
        return made.data[0].b64_json

    with ThreadPoolExecutor(24) as pool:
        first = pool.submit(post, {"prompt": "slow"}, key)
        wait_until(lambda: joins(liar) > before)
        crowd = [pool.submit(post, {"prompt": "slow"}, key) for _ in range(20)]
    answers = [answer.result() for answer in crowd]
    for answer in answers:
        assert (answer.status_code, answer.content) == (200, first.result().content)
    assert joins(liar) == before + 1

    # The SDK writes JSON in a way of its own, so with a key of its own.
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(24) as pool:
        made = [pool.submit(make)]
        wait_until(lambda: joins(liar) > before + 1)
        made += [pool.submit(make) for _ in range(20)]
    assert len({image.result() for image in made}) == 1
    assert joins(liar) == before + 2


def test_a_stream_is_told_again_and_not_joined(
    sdk: Callable[..., openai.OpenAI], front: Host, liar: Liar, key: str
) -> None:
    before = joins(liar)

    def make() -> openai.Stream:
        return sdk().images.generate(prompt=f"held {key}", stream=True, extra_headers={"Idempotency-Key": key})

    with ThreadPoolExecutor() as pool:
        first = pool.submit(lambda: [event.model_dump() for event in make()])
        wait_until(lambda: joins(liar) > before)
        with pytest.raises(openai.ConflictError) as caught:
            make()
        liar.release(f"held {key}")
        assert caught.value.code == "idempotency_in_progress"
    time.sleep(1.5)
    assert [event.model_dump() for event in make()] == first.result()
    assert joins(liar) == before + 1


def test_a_stream_that_was_left_begins_anew(front: Host, liar: Liar, key: str) -> None:
    headers = {"authorization": f"Bearer {KEY}", "idempotency-key": key}
    fields = {"prompt": "slow", "stream": True, "progress": True}
    url = f"{front.url}/v1/images/generations"
    before = joins(liar)
    with httpx.stream("POST", url, json=fields, headers=headers, timeout=60) as left:
        assert next(left.iter_lines())
    # That it left is noticed with the next event, or the next heartbeat.
    answers: list[httpx.Response] = []

    def is_taken() -> bool:
        answers.append(httpx.post(url, json=fields, headers=headers, timeout=60))
        return answers[-1].status_code != 409

    wait_until(is_taken, pause=0.3)
    taken = answers[-1]
    assert (taken.status_code, events(taken)[-1][0]) == (200, "image_generation.completed")
    assert "idempotency-replayed" not in taken.headers
    assert joins(liar) == before + 2


def test_a_client_that_left_finds_what_was_made(post: Callable[..., httpx.Response], liar: Liar, key: str) -> None:
    before = joins(liar)
    with pytest.raises(httpx.ReadTimeout):
        post({"prompt": f"held {key}"}, key, timeout=httpx.Timeout(60, read=0.5))
    wait_until(lambda: joins(liar) > before)
    liar.release(f"held {key}")
    # That it is made is known to other instances a moment later.
    answers: list[httpx.Response] = []

    def is_found() -> bool:
        answers.append(post({"prompt": f"held {key}"}, key))
        return answers[-1].status_code != 409

    wait_until(is_found)
    found = answers[-1]
    assert (found.status_code, found.headers["idempotency-replayed"]) == (200, "true")
    assert joins(liar) == before + 1


def test_what_failed_is_tried_again(post: Callable[..., httpx.Response], liar: Liar, key: str) -> None:
    before = joins(liar)
    for _ in range(2):
        failed = post({"prompt": "cut"}, key)
        assert (failed.status_code, failed.json()["error"]["code"]) == (502, "space_connection_lost")
        assert "idempotency-replayed" not in failed.headers
    assert joins(liar) == before + 2


def test_the_sdk_sends_a_form_again(many: Shapes, key: str) -> None:
    def edit(colour: str) -> tuple[openai.types.ImagesResponse, httpx.Headers]:
        raw = many.client.images.with_raw_response.edit(
            model="editor", prompt="blue", image=("a.png", plain(colour)), extra_headers={"Idempotency-Key": key}
        )
        return raw.parse(), raw.headers

    first, headers = edit("red")
    assert "idempotency-replayed" not in headers
    again, headers = edit("red")
    assert (again, headers["idempotency-replayed"]) == (first, "true"), "though its boundary is another one"
    with pytest.raises(openai.UnprocessableEntityError):
        edit("green")
