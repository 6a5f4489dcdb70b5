"""Limits and idempotency of two hosts that share a PostgreSQL server: calls to both at once count together."""

from __future__ import annotations

import collections
import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from database import Postgres
from host import KEY, Hosts, Space
from waiting import wait_until

from app import HELD

pytestmark = pytest.mark.busy

AUTHORIZED = {"authorization": f"Bearer {KEY}"}
PAGE = "/v1/images/generations"


class Scene:
    """Two hosts before a Space."""

    def __init__(self, postgres: Postgres, folder: Path, seconds: float, limits: dict[str, int]) -> None:
        self.journal = folder / "journal"
        self.journal.touch()
        arguments = ["--step-seconds", str(seconds), "--at-once", "0", "--journal", str(self.journal)]
        self.space = Space(sys.executable, *arguments)
        spaces = f"z-image-turbo={self.space.url}"
        self.hosts = Hosts(2, postgres, spaces=spaces, extra_host=self.space.url, **limits)
        self.warned = 0

    def begin(self) -> None:
        """Waits until both hosts can be used."""
        # Both know the Space and the database before what is looked at begins.
        for host in self.hosts.running:
            wait_until(lambda url=host.url: is_usable(url), "the database is not there")
        self.warned = self.warnings()

    def at_once(
        self, count: int, ask: Callable[[int, str], httpx.Response], release_after: int | None = None
    ) -> list[httpx.Response]:
        """The answers to that many calls, which start together and go to either host in turn.

        `release_after` is the number of answers after which the jobs that are held go on.
        """
        start = threading.Barrier(count)

        def call(number: int) -> httpx.Response:
            start.wait()
            return ask(number, self.hosts.running[number % 2].url)

        with ThreadPoolExecutor(count) as pool:
            calls = [pool.submit(call, number) for number in range(count)]
            if release_after is not None:
                try:
                    wait_until(lambda: sum(call.done() for call in calls) >= release_after)
                finally:
                    self.release()
            return [call.result() for call in calls]

    def jobs(self) -> list[str]:
        """Prompts of the jobs that the Space has begun with."""
        entries = [json.loads(line) for line in self.journal.read_text().splitlines()]
        return [entry["prompt"] for entry in entries if entry["what"] == "begun"]

    def release(self) -> None:
        """Lets the jobs that are held go on."""
        self.journal.with_name("journal.released").touch()

    def has_trouble(self) -> bool:
        """True where a host has reported, since both were usable, that the database did not answer in time."""
        return self.warnings() > self.warned

    def warnings(self) -> int:
        return sum("The database fails" in line for host in self.hosts.running for line in host.log)

    def stop(self) -> None:
        try:
            self.hosts.stop()
        finally:
            self.space.stop()


@pytest.fixture
def serve(postgres: Postgres, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    scenes = []

    def start(seconds: float, **limits: int) -> Scene:
        scenes.append(Scene(postgres, tmp_path, seconds, limits))
        scenes[-1].begin()
        return scenes[-1]

    yield start
    for scene in scenes:
        scene.stop()


def is_usable(url: str) -> bool:
    return httpx.get(f"{url}/v1/tasks", headers=AUTHORIZED, timeout=60).status_code == 200


def make(number: int, url: str, prompt: str = "", **headers: str) -> httpx.Response:
    order = {"prompt": prompt or f"call {number}", "size": "256x256", "steps": 1}
    return httpx.post(url + PAGE, json=order, headers=AUTHORIZED | headers, timeout=120)


def count(answers: list[httpx.Response], status: int) -> int:
    return sum(answer.status_code == status for answer in answers)


def test_requests_in_a_minute_are_counted_to_the_letter(serve: Callable[..., Scene]) -> None:
    scene = serve(0.01, requests_per_minute=6)
    begun = time.monotonic()
    answers = scene.at_once(24, make)
    late = int((time.monotonic() - begun) / 10)
    made = count(answers, 200)
    assert made + count(answers, 429) == 24, [answer.text[:200] for answer in answers]
    assert 6 <= made <= 6 + late, "one more is due every ten seconds"
    print(f"\nrequests_per_minute=6, 24 calls at once to two hosts: {made} made")


def test_images_of_a_key_are_counted_to_the_letter(serve: Callable[..., Scene]) -> None:
    scene = serve(0.01, jobs_per_key=3)
    answers = scene.at_once(16, lambda number, url: make(number, url, HELD), release_after=13)
    assert (count(answers, 200), count(answers, 429)) == (3, 13), [answer.text[:200] for answer in answers]
    assert len(scene.jobs()) == 3
    assert count(scene.at_once(3, make), 200) == 3, "all places have come back"


def test_the_same_key_at_once_is_one_job(serve: Callable[..., Scene]) -> None:
    scene = serve(0.2)
    rounds = 10
    waited = 0
    alone: set[int] = set()
    """Rounds in which a host did without the database."""
    for number in range(rounds):
        key = str(uuid.uuid4())

        def ask(_: int, url: str, number: int = number, key: str = key) -> httpx.Response:
            return make(number, url, **{"idempotency-key": key})

        answers = scene.at_once(4, ask)
        for which, answer in enumerate(answers):
            while answer.status_code == 409:
                assert answer.json()["error"]["code"] == "idempotency_in_progress", answer.text
                waited += 1
                time.sleep(0.1)
                answer = ask(which, scene.hosts.running[which % 2].url)
            assert answer.status_code == 200, answer.text
            answers[which] = answer
        if len({answer.content for answer in answers}) > 1:
            # Who can't ask the database in time goes on without it, and says so.
            assert scene.has_trouble(), "two answers to one key"
            alone.add(number)
    assert len(alone) < rounds / 2
    jobs = collections.Counter(scene.jobs())
    assert all(jobs[f"call {number}"] == 1 for number in range(rounds) if number not in alone), "one job for each key"
    print(f"\n{rounds} keys, 4 calls at once with each to two hosts: {rounds} jobs; 409 was answered {waited} times")
