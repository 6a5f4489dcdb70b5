"""Several Spaces as one model: real Gradio servers of different speed, quotas, and how all of that is reported."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from host import KEY, Host, Space

import openai

HEADERS = {"authorization": f"Bearer {KEY}"}


def states(host: Host) -> dict[str, dict]:
    answer = httpx.get(f"{host.url}/v1/spaces", headers=HEADERS).json()
    assert answer["object"] == "list"
    return {space["id"]: space for space in answer["data"]}


def test_a_quota_rests_the_space_for_as_long_as_it_says(space: Space) -> None:
    host = Host(spaces=f"z={space.url}", extra_host=space.url)
    try:
        client = openai.OpenAI(base_url=f"{host.url}/v1", api_key=KEY, max_retries=2)
        begun = time.time()

        def at_least() -> int:
            """Seconds of the quota's 312 that must be left."""
            return 311 - int(time.time() - begun)

        assert httpx.get(f"{host.url}/readyz").json() == {"status": "ready", "spaces": {"usable": 1, "total": 1}}
        for attempt in range(2):
            with pytest.raises(openai.RateLimitError) as error:
                client.images.generate(prompt="fault: quota" if attempt == 0 else "a fox", extra_body={"steps": 1})
            assert (error.value.code, error.value.type) == ("insufficient_quota", "insufficient_quota")
            assert "Try again in 0:05:12" in error.value.body["message"]
            assert error.value.response.headers["x-should-retry"] == "false"
            assert at_least() <= int(error.value.response.headers["retry-after"]) <= 312
        ready = httpx.get(f"{host.url}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        state = states(host)[space.url]
        assert (state["state"], state["breaker"]["state"], state["breaker"]["reason"]) == (
            "cooling_down",
            "open",
            "insufficient_quota",
        )
        assert begun + 311 <= state["breaker"]["until"] <= time.time() + 312
        assert (state["failures"], state["last_error"]["code"]) == (1, "insufficient_quota")
        time.sleep(1.5)
        # The host has dropped the instance: a new one knows it from the store.
        assert httpx.get(f"{host.url}/readyz").status_code == 503
    finally:
        assert host.stop() == 0


def failure(host: Host, prompt: str, **fields) -> str:
    """Answer to a request that comes to nothing."""
    fields |= {"prompt": prompt, "steps": 1}
    return httpx.post(f"{host.url}/v1/images/generations", json=fields, headers=HEADERS, timeout=30).text


def test_which_space_made_it_is_told_unless_it_must_not_be(space: Space) -> None:
    for reveal in ("true", "false"):
        host = Host(spaces=f"z={space.url}", extra_host=space.url, reveal_spaces=reveal)
        try:
            made = httpx.post(
                f"{host.url}/v1/images/generations", json={"prompt": "x", "steps": 1}, headers=HEADERS, timeout=30
            )
            (item,) = made.json()["data"]
            timing = dict(
                part.strip().split(";dur=")
                for part in made.headers["server-timing"].replace(f';desc="{space.url}"', "").split(",")
            )
            assert set(timing) == {"wait", "queue", "generate", "fetch", "total"} and float(timing["total"]) >= float(
                timing["generate"]
            )
            fields = {"prompt": "x", "steps": 1, "stream": True, "progress": True}
            streamed = httpx.post(f"{host.url}/v1/images/generations", json=fields, headers=HEADERS, timeout=30).text
            texts = [made.headers["server-timing"], item.get("space"), streamed, *states(host)]
            details = httpx.get(f"{host.url}/v1/models/z", headers=HEADERS).json()["spaces"][0]["name"]
            (state,) = states(host).values()
            assert not (state.get("queue") or {}).get("size"), "nobody waits at a Space that is idle"
            texts += [failure(host, "fault: exception"), failure(host, "fault: exception", stream=True)]
            refused = failure(host, "fault: gr.Error")
            assert "Prompt rejected: bad words" in refused and space.url not in refused, "which are the Space's words"
            if reveal == "true":
                assert item["space"] == space.url and all(space.url in text for text in texts) and details == space.url
            else:
                assert not any(space.url in (text or "") for text in texts) and details == "space-1"
        finally:
            assert host.stop() == 0


@pytest.mark.busy
def test_a_requests_images_keep_their_distance(space: Space) -> None:
    host = Host(spaces=f"z={space.url}", extra_host=space.url, stagger_ms="2000")
    try:
        begun = time.monotonic()
        fields = {"prompt": "x", "n": 2, "steps": 1, "size": "256x256", "stream": True, "progress": True}
        starts = {}
        with httpx.stream(
            "POST", f"{host.url}/v1/images/generations", json=fields, headers=HEADERS, timeout=30
        ) as answer:
            for line in answer.iter_lines():
                if '"state":"queued"' in line:
                    starts.setdefault('"image_index":1' in line, time.monotonic() - begun)
        assert starts[True] - starts[False] > 1, starts
    finally:
        assert host.stop() == 0


class Pool:
    """Three Spaces of different speed, on ports that they come back to."""

    def __init__(self, *step_seconds: float) -> None:
        self.commands = [("--step-seconds", str(seconds), "--at-once", "1") for seconds in step_seconds]
        self.spaces = [Space(sys.executable, *command) for command in self.commands]
        self.urls = [space.url for space in self.spaces]

    def kill(self, number: int) -> None:
        self.spaces[number].kill()

    def restart(self, number: int) -> None:
        port = self.urls[number].rsplit(":", 1)[1]
        self.spaces[number] = Space(sys.executable, *self.commands[number], "--port", port)

    def stop(self) -> None:
        for space in self.spaces:
            space.stop()


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(0.02, 0.05, 0.15)
    yield pool
    pool.stop()


@pytest.mark.timeout(300)
def test_every_request_ends_well_while_one_space_lives(pool: Pool) -> None:
    """Under load, one Space after the other is killed and comes back; one of the three lives at any time."""
    host = Host(spaces=",".join(f"z={url}" for url in pool.urls), extra_host="http://127.0.0.1:*")
    rng = random.Random(20261125)
    outcomes: list[tuple[float, object]] = []
    is_over = threading.Event()

    def ask(number: int) -> None:
        made = 0
        while not is_over.is_set():
            seed = number * 100_000 + made * 10
            fields = {
                "prompt": f"fox {number}",
                "n": 1 + made % 2,
                "size": "256x256",
                "steps": 8,
                "seed": seed,
                "response_format": "url",
            }
            begun = time.monotonic()
            answer = httpx.post(f"{host.url}/v1/images/generations", json=fields, headers=HEADERS, timeout=120)
            seeds = [item["seed"] for item in answer.json().get("data", [])]
            good = answer.status_code == 200 and seeds == list(range(seed, seed + fields["n"]))
            outcomes.append((time.monotonic() - begun, True if good else answer.text))
            made += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    try:
        for thread in threads:
            thread.start()
        kills = 0
        dead: int | None = None
        until = time.monotonic() + 60
        while time.monotonic() < until or len(outcomes) <= 50 or kills < 5:
            time.sleep(rng.uniform(0.5, 2))
            victims = [number for number in range(3) if number != dead]
            victim = rng.choice(victims)
            pool.kill(victim)
            kills += 1
            if dead is not None:
                pool.restart(dead)
            dead = victim
        is_over.set()
        for thread in threads:
            thread.join()
        failed = [outcome for _, outcome in outcomes if outcome is not True]
        took = sorted(seconds for seconds, _ in outcomes)
        print(
            f"{len(outcomes)} requests, {kills} kills, {len(failed)} failed,"
            f" p50 {took[len(took) // 2]:.2f} s, longest {took[-1]:.2f} s"
        )
        assert not failed, failed[:3]
    finally:
        is_over.set()
        host.end()
