"""Tasks on two hosts that share a Redis server, and are killed again and again while they work."""

from __future__ import annotations

import collections
import io
import itertools
import json
import random
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from app import seed_of
from host import KEY, Host, Redis, Space
from PIL import Image

TASKS = 200
KILLS = 10
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
END = {"succeeded", "failed", "cancelled"}


class Hosts:
    """Two hosts before one store. One that is killed comes back, elsewhere."""

    def __init__(self, redis: Redis, space: Space) -> None:
        self.start = lambda: Host(
            runtime_config=redis.config,
            spaces=f"z-image-turbo={space.url}",
            extra_host=space.url,
            link_secret="a-secret-that-both-hosts-know",
            max_tasks=1000,
            max_waiting=1000,
        )
        self.running = [self.start(), self.start()]
        self.logs: list[str] = []

    def kill(self, which: int) -> None:
        victim = self.running[which]
        victim.kill()
        self.logs += victim.log
        self.running[which] = self.start()

    def request(self, which: int, method: str, path: str, **arguments) -> httpx.Response | None:
        """``None`` where the host is killed over it."""
        try:
            return httpx.request(method, self.running[which].url + path, headers=AUTHORIZED, timeout=20, **arguments)
        except httpx.TransportError:
            return None

    def get(self, path: str, **arguments) -> httpx.Response:
        """From whichever answers."""
        for which in itertools.cycle([0, 1]):
            answer = self.request(which, "GET", path, **arguments)
            if answer is not None:
                assert answer.status_code == 200, answer.text
                return answer
        raise AssertionError


@pytest.mark.timeout(400)
def test_no_task_is_lost_and_none_is_told_twice(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    redis = Redis()
    space = Space(sys.executable, "--step-seconds", "0.1", "--at-once", "8", "--journal", str(journal))
    hosts = Hosts(redis, space)
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
            order = {"prompt": f"task {number}", "n": 1 + number % 2, "seed": 1000 * number, "size": "256x256", "steps": 3}
            answer = hosts.request(number % 2, "POST", "/v1/images/generations", json=order | {"async": True})
            if answer is None:
                unanswered.add(order["prompt"])
            else:
                assert answer.status_code == 202, answer.text
                taken[answer.json()["id"]] = order
            time.sleep(0.1)

    submitting = threading.Thread(target=submit)
    submitting.start()
    first_seen: dict[str, tuple[float, list]] = {}
    """When each was first seen finished, and with what."""

    def look() -> int:
        """Reads all tasks there are, from either host; returns how many go on."""
        after: dict[str, str] = {}
        going_on = 0
        while True:
            page = hosts.get("/v1/tasks", params={"limit": 100} | after).json()
            for task in page["data"]:
                made = [(image["index"], image.get("seed"), image.get("space")) for image in task["images"]]
                if task["status"] in END:
                    _, before = first_seen.setdefault(task["id"], (time.time(), made))
                    assert before == made, f"{task['id']} has changed after its end"
                else:
                    going_on += 1
            if not page["has_more"]:
                return going_on
            after = {"after": page["last_id"]}

    killed = 0
    while killed < KILLS:
        time.sleep(chance.uniform(1.5, 3))
        hosts.kill(killed % 2)
        killed += 1
        look()
    submitting.join()
    deadline = time.monotonic() + 120
    while look() and time.monotonic() < deadline:
        time.sleep(1)
    took = time.monotonic() - begun

    assert look() == 0, "some go on for ever, though nobody knows of them"
    assert set(taken) <= set(first_seen), f"lost: {set(taken) - set(first_seen)}"
    images = collections.Counter()
    after: dict[str, str] = {}
    while True:
        page = hosts.get("/v1/images", params={"limit": 100} | after).json()
        images.update((image["task_id"], image["seed"]) for image in page["data"])
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    for number, (name, order) in enumerate(taken.items()):
        task = hosts.request(number % 2, "GET", f"/v1/tasks/{name}").json()
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
        f"\n{len(taken)} tasks with {len(wanted)} images, {killed} kills: all finished once, in {took:.0f} s;"
        f" {again} images were made again after a kill, {len(unanswered)} submissions cut off"
    )
    for host in hosts.running:
        assert host.stop() == 0
        hosts.logs += host.log
    log = "".join(hosts.logs)
    assert KEY not in log and "panicked" not in log and "an instance failed" not in log, log
    space.stop()
    redis.stop()
