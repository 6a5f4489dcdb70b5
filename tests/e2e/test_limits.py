"""Limits per key, with the official SDK."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from host import KEY, Host
from liar import Liar

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
        assert host.stop() == 0
        log = "".join(host.log)
        assert "panicked" not in log and "an instance failed" not in log, log
        assert KEY not in log


def sdk(host: Host, key: str = KEY, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{host.url}/v1", api_key=key, max_retries=retries)


def test_requests_in_a_minute(serve: Callable[..., Host]) -> None:
    host = serve(requests_per_minute=12)
    remaining = []
    with pytest.raises(openai.RateLimitError) as caught:
        for _ in range(20):
            made = sdk(host).images.with_raw_response.generate(prompt="fine")
            assert made.headers["x-ratelimit-limit-requests"] == "12"
            assert made.headers["x-ratelimit-reset-requests"].endswith("s")
            remaining.append(int(made.headers["x-ratelimit-remaining-requests"]))
    assert remaining[0] == 11 and len(remaining) in (12, 13), "one is due every five seconds"
    error = caught.value
    assert (error.code, error.type) == ("rate_limit_exceeded", "requests")
    headers = error.response.headers
    assert headers["x-ratelimit-remaining-requests"] == "0" and headers["x-should-retry"] == "true"
    wait = int(headers["retry-after-ms"]) / 1000
    assert 0 < wait <= 5 and wait <= int(headers["retry-after"]) <= wait + 1

    assert sdk(host, OTHER).images.generate(prompt="fine").data, "another key has a limit of its own"
    seen = sdk(host).models.with_raw_response.list()
    assert seen.headers["x-ratelimit-remaining-requests"] in ("0", "1"), "to look is not counted"

    # The SDK's own pause is a second at most: only one that keeps to Retry-After comes late enough.
    begun = time.monotonic()
    while sdk(host).models.with_raw_response.list().headers["x-ratelimit-remaining-requests"] != "0":
        sdk(host).images.generate(prompt="fine")
    assert sdk(host, retries=1).images.generate(prompt="fine").data
    assert time.monotonic() - begun > 1

    time.sleep(1.5)  # An idle instance is dropped after a second; the next one knows.
    assert httpx.get(f"{host.url}/healthz").status_code == 200
    later = sdk(host).models.with_raw_response.list()
    assert int(later.headers["x-ratelimit-remaining-requests"]) <= 1


def test_images_at_once(serve: Callable[..., Host], liar: Liar) -> None:
    host = serve(jobs_per_key=2)
    make = sdk(host).images.generate
    with ThreadPoolExecutor() as pool:
        running = pool.submit(make, prompt="slow", n=2)
        time.sleep(0.7)
        with pytest.raises(openai.RateLimitError) as caught:
            make(prompt="fine")
        assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
        assert int(caught.value.response.headers["retry-after"]) >= 1
        with pytest.raises(openai.RateLimitError):
            sdk(host).chat.completions.create(model="z-image-turbo", messages=[{"role": "user", "content": "fine"}])
        assert sdk(host, OTHER).images.generate(prompt="fine", n=2).data
        late = sdk(host, retries=2).images.generate(prompt="fine")
        assert late.data, "the SDK waits until there is room"
    assert len(running.result().data) == 2
    with pytest.raises(openai.BadRequestError) as caught:
        make(prompt="fine", n=3)
    assert caught.value.param == "n"


def test_a_client_that_leaves_a_stream_gives_back_what_it_had(serve: Callable[..., Host]) -> None:
    host = serve(jobs_per_key=2)
    stream = sdk(host).images.generate(
        prompt="heartbeat", n=2, stream=True, extra_body={"progress": True}
    )
    next(iter(stream))
    with pytest.raises(openai.RateLimitError):
        sdk(host).images.generate(prompt="fine")
    stream.close()
    deadline = time.monotonic() + 15
    while True:
        try:
            assert sdk(host).images.generate(prompt="fine", n=2).data
            return
        except openai.RateLimitError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
