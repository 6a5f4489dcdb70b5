"""A real Gradio Space without a limit of its own, which counts how many of our jobs run there at the same time.

However many calls come, through however many hosts, there are never more than the Space's slots, also where hosts are
killed: their jobs run on without them, and those slots stay empty until the leases have run out. The longest wait is
held against the ideal, in which all slots but those are busy all the time with jobs that take as long as one alone.

With FULL=1 in the environment, all sizes run before all kinds of hosts; the figures are printed (`pytest -s`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from database import Postgres
from host import KEY, Hosts, Space

SLOTS = 2
SECONDS = 0.5
"""Duration of a job."""
PAUSE = 3.0
"""Time between two kills."""
RETURN = 15.0
"""Longest time until a dead host's slot is another's."""


@dataclass
class Job:
    begun: float
    done: float


class Scene:
    """A Space and the hosts before it."""

    def __init__(self, folder: Path, postgres: Postgres | None, hosts: int) -> None:
        self.journal = folder / "journal"
        space = Space(sys.executable, "--step-seconds", str(SECONDS), "--at-once", "0", "--journal", str(self.journal))
        self.space = space
        self.hosts = Hosts(
            hosts,
            postgres,
            spaces=f"z-image-turbo={space.url}",
            extra_host=space.url,
            max_waiting=1000,
            job_timeout=600,
        )
        self.kills = 0
        self.alone = 0.0

    async def make(self, client: httpx.AsyncClient, number: int, prompt: str = "call") -> float:
        """Has an image made, by another host where one dies over it; returns how long that took."""
        begun = time.monotonic()
        order = {"prompt": f"{prompt} {number}", "seed": number, "size": "256x256", "steps": 1}
        for attempt in range(1000):
            host = self.hosts.running[(number + attempt) % len(self.hosts.running)]
            try:
                answer = await client.post(f"{host.url}/v1/images/generations", json=order)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            assert answer.status_code == 200, answer.text
            assert answer.json()["data"][0]["b64_json"]
            return time.monotonic() - begun
        raise AssertionError

    async def make_all(self, calls: int, kill: bool) -> list[float]:
        headers = {"authorization": f"Bearer {KEY}"}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(headers=headers, timeout=600, limits=limits) as client:
            self.alone = sorted([await self.make(client, number, "alone") for number in range(3)])[1]
            made = asyncio.gather(*(self.make(client, number) for number in range(calls)))
            while kill and not made.done():
                await asyncio.wait([made], timeout=PAUSE)
                if not made.done():
                    await self.kill_next()
            return await made

    async def kill_next(self) -> None:
        await asyncio.to_thread(self.hosts.kill, self.kills % len(self.hosts.running))
        self.kills += 1

    def jobs(self) -> list[Job]:
        """Jobs of the Space's journal, in the order of begin, without those that were made alone."""
        jobs: list[Job] = []
        begun: dict[tuple[str, int], list[float]] = {}
        for line in self.journal.read_text().splitlines():
            entry = json.loads(line)
            key = (entry["prompt"], entry["seed"])
            if entry["prompt"].startswith("alone"):
                continue
            if entry["what"] == "begun":
                begun.setdefault(key, []).append(entry["at"])
            else:
                jobs.append(Job(begun[key].pop(0), entry["at"]))
        now = time.time()
        jobs += [Job(at, now) for left in begun.values() for at in left]
        return sorted(jobs, key=lambda job: job.begun)

    def stop(self) -> None:
        try:
            self.hosts.stop()
        finally:
            self.space.stop()


def most_at_once(jobs: list[Job]) -> int:
    changes = sorted([(job.done, -1) for job in jobs] + [(job.begun, 1) for job in jobs])
    most = running = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


NAMES = ["one host on SQLite", "two hosts on PostgreSQL", "two hosts on PostgreSQL, one of them killed every 3 s"]
CALLS = [(64, 64, 64), (256, 256, 256)] if os.environ.get("FULL") else [(64, 64, 16)]
CASES = [case for calls in CALLS for case in zip(NAMES, [1, 2, 2], [False, False, True], calls, strict=False)]


@pytest.fixture
def serve(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[int], Scene]]:
    """Starts that many hosts before a Space, and ends them whatever becomes of the test."""
    scenes: list[Scene] = []

    def start(hosts: int) -> Scene:
        scenes.append(Scene(tmp_path, request.getfixturevalue("postgres") if hosts > 1 else None, hosts))
        return scenes[-1]

    yield start
    for scene in scenes:
        scene.stop()


@pytest.mark.timed
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "hosts", "kill", "calls"), CASES)
def test_a_space_never_has_more_jobs_than_slots(
    name: str, hosts: int, kill: bool, calls: int, serve: Callable[[int], Scene]
) -> None:
    scene = serve(hosts)
    waits = asyncio.run(scene.make_all(calls, kill))
    jobs = scene.jobs()

    most = most_at_once(jobs)
    orphans = len(jobs) - calls
    """Jobs of killed hosts: each was made for nothing, and its slot was empty afterwards."""
    ideal = (len(jobs) * scene.alone + orphans * RETURN) / SLOTS
    print(
        f"\n{name}, {calls} calls at once: {most} jobs at a time at most, {scene.kills} kills, {orphans} jobs of killed"
        f" hosts; longest wait {max(waits):.1f} s, {max(waits) / ideal:.2f} × the ideal of {ideal:.0f} s"
    )
    assert len(waits) == calls
    assert most <= SLOTS
    assert kill or orphans == 0
    assert max(waits) <= 2 * ideal + (RETURN if kill else 0)
