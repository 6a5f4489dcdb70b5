"""Tasks whose hosts are killed again and again: two before one PostgreSQL server, and one before a file.

With FULL=1 in the environment it is 500 tasks and 20 kills; the figures are printed (`pytest -s`).
"""

from __future__ import annotations

import collections
import io
import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from database import Postgres
from host import KEY, Hosts, Space
from PIL import Image

from app import seed_of

TASKS, KILLS = (500, 20) if os.environ.get("FULL") else (60, 5)
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
END = {"succeeded", "failed", "cancelled"}


class Client:
    """Asks hosts that may die over it."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts

    def request(self, which: int, method: str, path: str, **arguments) -> httpx.Response | None:
        """``None`` where the host is killed over it."""
        url = self.hosts.running[which % len(self.hosts.running)].url
        try:
            return httpx.request(method, url + path, headers=AUTHORIZED, timeout=60, **arguments)
        except httpx.TransportError:
            return None

    def get(self, path: str, **arguments) -> httpx.Response:
        """From whichever answers."""
        for which in itertools.count():
            answer = self.request(which, "GET", path, **arguments)
            if answer is not None:
                assert answer.status_code == 200, answer.text
                return answer
            time.sleep(0.05)
        raise AssertionError

    def pages(self, path: str) -> Iterator[dict]:
        """All that a list holds."""
        after: dict[str, str] = {}
        while True:
            page = self.get(path, params={"limit": 100} | after).json()
            yield from page["data"]
            if not page["has_more"]:
                return
            after = {"after": page["last_id"]}


@pytest.fixture(params=["postgres", "sqlite"])
def hosts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hosts]:
    """Two hosts before a PostgreSQL server, or one before a file, and the Space behind them, which keeps a journal."""
    with ExitStack() as stack:
        postgres = Postgres() if request.param == "postgres" else None
        if postgres:
            stack.callback(postgres.stop)
        journal = tmp_path / "journal"
        space = Space(sys.executable, "--step-seconds", "0.1", "--at-once", "8", "--journal", str(journal))
        stack.callback(space.stop)
        hosts = Hosts(
            2 if postgres else 1,
            postgres,
            spaces=f"z-image-turbo={space.url}",
            extra_host=space.url,
            link_secret="a-secret-that-all-hosts-know",
            max_tasks=1000,
            max_waiting=1000,
        )
        stack.callback(hosts.stop)
        yield hosts


@pytest.mark.timed
@pytest.mark.timeout(580)
def test_no_task_is_lost_and_none_is_finished_twice(hosts: Hosts, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    database = "two hosts on PostgreSQL" if len(hosts.running) > 1 else "one host on SQLite"
    client = Client(hosts)
    chance = random.Random(1)
    begun = time.monotonic()
    taken: dict[str, dict] = {}
    """The tasks that were taken: how many images each has, and from which seed on."""
    unanswered: set[str] = set()
    """The prompts whose submission was cut off: they may have been taken."""

    def submit() -> None:
        for number in itertools.count():
            if len(taken) == TASKS:
                return
            order = {
                "prompt": f"task {number}",
                "n": 1 + number % 2,
                "seed": 1000 * number,
                "size": "256x256",
                "steps": 3,
            }
            answer = client.request(number, "POST", "/v1/images/generations", json=order | {"async": True})
            if answer is None:
                unanswered.add(order["prompt"])
            else:
                assert answer.status_code == 202, answer.text
                taken[answer.json()["id"]] = order
            time.sleep(0.1)

    failures: list[BaseException] = []

    def submit_all() -> None:
        try:
            submit()
        except BaseException as failure:
            failures.append(failure)

    submitting = threading.Thread(target=submit_all)
    submitting.start()
    first_seen: dict[str, tuple[float, list]] = {}
    """Time at which each was first seen finished, and its images."""

    def look() -> int:
        """Reads all tasks there are, from any host; returns how many go on."""
        going_on = 0
        for task in client.pages("/v1/tasks"):
            made = [(image["index"], image.get("seed"), image.get("space")) for image in task["images"]]
            if task["status"] in END:
                _, before = first_seen.setdefault(task["id"], (time.time(), made))
                assert before == made, f"{task['id']} has changed after its end"
            else:
                going_on += 1
        return going_on

    for killed in range(KILLS):
        time.sleep(chance.uniform(1.5, 3))
        hosts.kill(killed % len(hosts.running))
        look()
    submitting.join()
    assert not failures, failures
    deadline = time.monotonic() + 300
    while look() and time.monotonic() < deadline:
        time.sleep(1)
    took = time.monotonic() - begun

    assert look() == 0, "some go on for ever, though nobody knows of them"
    assert set(taken) <= set(first_seen), f"lost: {set(taken) - set(first_seen)}"
    images = collections.Counter((image["task_id"], image["seed"]) for image in client.pages("/v1/images"))
    for number, (name, order) in enumerate(taken.items()):
        task = client.get(f"/v1/tasks/{name}").json()
        assert task["status"] == "succeeded", task
        seeds = [order["seed"] + index for index in range(order["n"])]
        assert [made["seed"] for made in task["result"]["data"]] == seeds, task
        assert [images[name, seed] for seed in seeds] == [1] * order["n"], "each image is remembered once"
        if number % 10 == 0:
            pictures = [Image.open(io.BytesIO(httpx.get(made["url"]).content)) for made in task["data"]]
            assert [seed_of(picture) for picture in pictures] == seeds
    known = {task for task, _ in images}
    assert len(known - set(taken)) <= len(unanswered), "nothing was made that nobody asked for"

    jobs = [json.loads(line) for line in journal.read_text().splitlines()]
    ended_at = {taken[name]["prompt"]: at for name, (at, _) in first_seen.items() if name in taken}
    late = [job for job in jobs if job["what"] == "begun" and job["at"] > ended_at.get(job["prompt"], float("inf"))]
    assert not late, f"made after their task's end: {late}"
    done = collections.Counter((job["prompt"], job["seed"]) for job in jobs if job["what"] == "done")
    wanted = {(order["prompt"], order["seed"] + index) for order in taken.values() for index in range(order["n"])}
    assert wanted <= set(done)
    again = sum(count - 1 for job, count in done.items())
    print(
        f"\n{database}: {len(taken)} tasks with {len(wanted)} images, {KILLS} kills: lost 0, finished twice 0, in"
        f" {took:.0f} s; {again} images were made again after a kill, {len(unanswered)} submissions cut off"
    )
