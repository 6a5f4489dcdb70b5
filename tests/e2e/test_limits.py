"""Limits per key, with the official SDK."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from host import KEY, Host
from liar import Liar
from waiting import wait_until

import openai

pytestmark = pytest.mark.busy

OTHER = "sk-end-to-end-another"


@pytest.fixture
def serve(liar: Liar) -> Iterator[Callable[..., Host]]:
    """Starts the application with limits, for two keys."""
    hosts = []

    def start(**limits: int) -> Host:
        host = Host(spaces=f"z-image-turbo={liar.url}", extra_host=liar.url, api_keys=f"{KEY},{OTHER}", **limits)
        hosts.append(host)
        return host

    yield start
    for host in hosts:
        host.end()


def sdk(host: Host, key: str = KEY, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{host.url}/v1", api_key=key, max_retries=retries)


def test_requests_in_a_minute(serve: Callable[..., Host]) -> None:
    host = serve(requests_per_minute=12)
    remaining = []
    begun = time.monotonic()
    with pytest.raises(openai.RateLimitError) as caught:
        for _ in range(100):
            made = sdk(host).images.with_raw_response.generate(prompt="fine")
            assert made.headers["x-ratelimit-limit-requests"] == "12"
            assert made.headers["x-ratelimit-reset-requests"].endswith("s")
            remaining.append(int(made.headers["x-ratelimit-remaining-requests"]))
    due = (time.monotonic() - begun) / 5
    assert remaining[0] == 11 and 12 <= len(remaining) <= 12 + due, "one is due every five seconds"
    error = caught.value
    assert (error.code, error.type) == ("rate_limit_exceeded", "requests")
    headers = error.response.headers
    assert headers["x-ratelimit-remaining-requests"] == "0" and headers["x-should-retry"] == "true"
    wait = int(headers["retry-after-ms"]) / 1000
    assert 0 < wait <= 5 and wait <= int(headers["retry-after"]) <= wait + 1

    assert sdk(host, OTHER).images.generate(prompt="fine").data, "another key has a limit of its own"
    looked = [left(host) for _ in range(3)]
    assert looked == sorted(looked), "to look is not counted"


def left(host: Host) -> int:
    """Number of requests that the key may make at once."""
    return int(sdk(host).models.with_raw_response.list().headers["x-ratelimit-remaining-requests"])


def test_the_sdk_comes_again_when_it_was_told_to(serve: Callable[..., Host]) -> None:
    host = serve(requests_per_minute=12)
    attempts: list[tuple[float, int, float]] = []
    """Times, statuses and the pauses that were asked for, in seconds."""

    def note(response: httpx.Response) -> None:
        pause = int(response.headers.get("retry-after-ms", 0)) / 1000
        attempts.append((time.monotonic(), response.status_code, pause))

    with httpx.Client(event_hooks={"response": [note]}, timeout=60) as http:
        patient = openai.OpenAI(base_url=f"{host.url}/v1", api_key=KEY, max_retries=1, http_client=http)
        begun = time.monotonic()
        while [status for _, status, _ in attempts[-2:]] != [429, 200]:
            assert patient.images.generate(prompt="fine").data, "the pause was long enough"
    (refused, _, pause), (again, _, _) = attempts[-2:]
    assert again - refused >= pause, "the SDK keeps to the pause"

    time.sleep(1.5)  # An idle instance is dropped after a second; the next one knows.
    assert httpx.get(f"{host.url}/healthz").status_code == 200
    made = sum(status == 200 for _, status, _ in attempts)
    remaining, elapsed = left(host), time.monotonic() - begun
    # Where a database on a busy machine gives no answer in time, an instance counts for itself, and says so.
    if not any('"warn"' in line and "database" in line for line in host.log):
        assert remaining <= 12 - made + elapsed / 5


def test_images_at_once(serve: Callable[..., Host], liar: Liar) -> None:
    host = serve(jobs_per_key=2)
    make = sdk(host).images.generate
    with ThreadPoolExecutor() as pool:
        running = pool.submit(make, prompt="held at once", n=2)
        wait_until(lambda: liar.joined("held at once") >= 2)
        with pytest.raises(openai.RateLimitError) as caught:
            make(prompt="fine")
        assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
        assert int(caught.value.response.headers["retry-after"]) >= 1
        with pytest.raises(openai.RateLimitError):
            sdk(host).chat.completions.create(model="z-image-turbo", messages=[{"role": "user", "content": "fine"}])
        # Another key has places of its own, and waits for the Space's.
        other = pool.submit(sdk(host, OTHER).images.generate, prompt="fine", n=2)
        with httpx.Client(event_hooks={"response": [lambda _: liar.release("held at once")]}, timeout=60) as http:
            late = openai.OpenAI(base_url=f"{host.url}/v1", api_key=KEY, max_retries=9, http_client=http)
            assert late.images.generate(prompt="fine").data, "the SDK waits until there is room"
    assert len(running.result().data) == len(other.result().data) == 2
    with pytest.raises(openai.BadRequestError) as caught:
        make(prompt="fine", n=3)
    assert caught.value.param == "n"


def test_a_client_that_leaves_a_stream_gives_back_what_it_had(serve: Callable[..., Host]) -> None:
    host = serve(jobs_per_key=2)
    stream = sdk(host).images.generate(prompt="heartbeat", n=2, stream=True, extra_body={"progress": True})
    next(iter(stream))
    with pytest.raises(openai.RateLimitError):
        sdk(host).images.generate(prompt="fine")
    stream.close()

    def has_room() -> bool:
        try:
            return bool(sdk(host).images.generate(prompt="fine", n=2).data)
        except openai.RateLimitError:
            return False

    wait_until(has_room, pause=0.2)
