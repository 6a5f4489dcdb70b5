"""Tasks, by clients that poll, follow, cancel and are notified, from a real Gradio Space, by the built component."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from host import KEY, Host, Space
from pictures import plain
from PIL import Image
from standardwebhooks.webhooks import Webhook
from waiting import wait_until

import openai
from app import HELD, seed_of

pytestmark = pytest.mark.busy

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
END = {"succeeded", "failed", "cancelled"}


def submit(client: httpx.Client, **fields) -> dict:
    answer = client.post("/v1/images/generations", json={"size": "256x256", "steps": 2, "async": True} | fields)
    assert answer.status_code == 202, answer.text
    return answer.json()


def until_ended(client: httpx.Client, task: dict, limit: float = 100) -> dict:
    """The task as it is when it has ended."""

    def is_over() -> bool:
        task.update(client.get(f"/v1/tasks/{task['id']}").raise_for_status().json())
        return task["status"] in END

    wait_until(is_over, f"{task['id']} does not end", limit, 0.2)
    return task


class Receiver:
    """Takes webhooks; the first one is refused."""

    def __init__(self) -> None:
        receiver = self
        self.messages: list[tuple[dict[str, str], bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.messages.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(500 if len(receiver.messages) == 1 else 204)
                self.send_header("content-length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Slow:
    """The application before a Space that makes one image at a time, and takes a while."""

    def __init__(self, space: Space, journal: Path, receiver: Receiver) -> None:
        self.journal = journal
        self.receiver = receiver
        self.host = Host(
            spaces=f"z-image-turbo={space.url}",
            extra_host=space.url,
            webhook_host=receiver.url,
            webhook_secret=SECRET,
            api_keys=f"{KEY},sk-other",
        )
        self.client = httpx.Client(base_url=self.host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60)

    def release(self) -> None:
        """Lets the jobs that are held go on, and holds those that come later."""
        released = self.journal.with_name("journal.released")
        begun = self.jobs("begun").count(HELD)
        released.touch()
        wait_until(lambda: self.jobs("done").count(HELD) >= begun)
        released.unlink()

    def jobs(self, what: str) -> list[str]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        entries = [json.loads(line) for line in lines]
        return [job["prompt"] for job in entries if job["what"] == what]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slow]:
    import sys

    journal = tmp_path_factory.mktemp("space") / "journal"
    space = Space(sys.executable, "--step-seconds", "0.15", "--at-once", "1", "--journal", str(journal))
    receiver = Receiver()
    slow = Slow(space, journal, receiver)
    yield slow
    slow.client.close()
    assert SECRET not in slow.host.end()
    receiver.server.shutdown()
    space.stop()


def test_a_task_is_polled_until_it_is_done(slow: Slow) -> None:
    before = slow.jobs("begun").count(HELD)
    answer = slow.client.post(
        "/v1/images/generations",
        json={"prompt": HELD, "n": 2, "seed": 11, "size": "256x256", "steps": 2},
        headers={"prefer": "respond-async"},
    )
    task = answer.json()
    assert answer.status_code == 202 and answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == f"/v1/tasks/{task['id']}" and int(answer.headers["retry-after"]) > 0
    assert task["poll_url"] == f"{slow.host.url}/v1/tasks/{task['id']}"
    assert task["data"] == [{"status": "queued", "task_id": task["id"]}]
    seen: list[float] = []

    def poll() -> dict:
        answer = httpx.get(task["poll_url"], headers={"authorization": f"Bearer {KEY}"}, timeout=60)
        assert answer.headers["cache-control"] == "no-store"
        task.update(answer.json())
        seen.append(task["progress"])
        return task

    wait_until(lambda: any(image.get("step") for image in poll()["images"]), "no step is seen")
    assert 0 < seen[-1] < 1, seen
    slow.release()
    wait_until(lambda: any(image["status"] == "succeeded" for image in poll()["images"]), "no image is made")
    wait_until(lambda: slow.jobs("begun").count(HELD) >= before + 2)
    slow.release()
    wait_until(lambda: poll()["status"] in END, "the task does not end")
    assert task["status"] == "succeeded" and seen == sorted(seen) and seen[-1] == 1.0
    pictures = [Image.open(io.BytesIO(httpx.get(made["url"]).content)) for made in task["data"]]
    assert [seed_of(picture) for picture in pictures] == [made["seed"] for made in task["result"]["data"]] == [11, 12]


def test_the_sdk_asks_for_a_task_and_reads_it(slow: Slow) -> None:
    client = openai.OpenAI(base_url=f"{slow.host.url}/v1", api_key=KEY, max_retries=0)
    answer = client.images.generate(
        prompt="sdk", size="256x256", extra_body={"async": True, "steps": 1, "priority": "high"}
    )
    task = until_ended(slow.client, slow.client.get(f"/v1/tasks/{answer.data[0].task_id}").json())
    assert task["priority"] == "high" and task["status"] == "succeeded"


def test_an_edit_is_a_task_too(many) -> None:
    with httpx.Client(base_url=many.host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        answer = client.post(
            "/v1/images/edits",
            data={"prompt": "a blue fox", "model": "editor", "async": "true"},
            files={"image": ("a.png", plain("red"), "image/png")},
        )
        assert answer.status_code == 202 and answer.json()["kind"] == "edit", answer.text
        task = until_ended(client, answer.json())
        assert task["status"] == "succeeded", task
        assert httpx.get(task["data"][0]["url"]).headers["content-type"].startswith("image/")


def test_changes_are_followed_and_the_stream_can_be_taken_up_again(slow: Slow) -> None:
    task = submit(slow.client, prompt=HELD, steps=2)
    events = []

    def follow(last: str | None) -> None:
        headers = {"last-event-id": last} if last else {}
        with slow.client.stream("GET", f"/v1/tasks/{task['id']}/events", headers=headers) as stream:
            name = number = None
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("id: "):
                    number = line.removeprefix("id: ")
                elif line.startswith("data: "):
                    events.append((number, name, json.loads(line.removeprefix("data: "))))
                    if last is None and events[-1][2]["task"]["images"][0].get("step"):
                        return

    follow(None)
    slow.release()
    follow(events[-1][0])
    numbers = [int(number) for number, _, _ in events]
    assert numbers == sorted(set(numbers)), "nothing is sent twice"
    assert [name for _, name, _ in events[:-1]] == ["task.updated"] * (len(events) - 1)
    assert events[-1][1] == "task.completed" and events[-1][2]["task"]["status"] == "succeeded"
    assert any(event["task"]["images"][0].get("step") for _, _, event in events)


@pytest.mark.timeout(300)
def test_a_task_is_cancelled_at_the_space_whether_it_runs_or_waits(slow: Slow) -> None:
    # It would run for a quarter of an hour.
    running = submit(slow.client, prompt="fault: slow", steps=15)
    wait_until(lambda: "fault: slow" in slow.jobs("begun"))
    waiting = submit(slow.client, prompt="never begins")
    time.sleep(2)
    answer = slow.client.delete(f"/v1/tasks/{waiting['id']}").json()
    assert answer["status"] == "cancelled" and answer["images"][0]["status"] == "cancelled"
    time.sleep(4)
    assert slow.client.delete(f"/v1/tasks/{running['id']}").json()["status"] == "cancelled"
    after = submit(slow.client, prompt="has the place", steps=1)
    # Long before the first one would have ended.
    assert until_ended(slow.client, after, 200)["status"] == "succeeded"
    assert "never begins" not in slow.jobs("begun")
    assert slow.client.delete(f"/v1/tasks/{waiting['id']}").json()["deleted"] is True
    assert slow.client.get(f"/v1/tasks/{waiting['id']}").status_code == 404


def test_the_end_is_told_with_a_signature_that_holds(slow: Slow) -> None:
    task = submit(slow.client, prompt="notified", webhook_url=f"{slow.receiver.url}/images?from=here", seed=3)
    wait_until(lambda: len(slow.receiver.messages) == 2)
    (first, _), (headers, body) = slow.receiver.messages
    message = Webhook(SECRET).verify(body, headers)
    assert message["type"] == "image.task.succeeded" and message["data"]["id"] == task["id"]
    assert message["data"]["data"][0]["seed"] == 3
    assert first["webhook-id"] == headers["webhook-id"], "it is the same message, sent again"
    assert httpx.get(message["data"]["data"][0]["url"]).status_code == 200
    for elsewhere in ["http://127.0.0.1:1/", "https://example.com/"]:
        refused = slow.client.post(
            "/v1/images/generations", json={"prompt": "x", "async": True, "webhook_url": elsewhere}
        )
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "webhook_url"


def test_another_key_sees_nothing(slow: Slow) -> None:
    task = until_ended(slow.client, submit(slow.client, prompt="mine"))
    other = {"authorization": "Bearer sk-other"}
    for path in [f"/v1/tasks/{task['id']}", f"/v1/tasks/{task['id']}/events"]:
        assert slow.client.get(path, headers=other).status_code == 404
    assert slow.client.delete(f"/v1/tasks/{task['id']}", headers=other).status_code == 404
    for path in ["/v1/tasks", "/v1/images"]:
        assert slow.client.get(path, headers=other).json()["data"] == []
    mine = slow.client.get("/v1/tasks", params={"limit": 1}).json()
    assert [listed["id"] for listed in mine["data"]] == [task["id"]] and mine["has_more"]


def test_what_was_made_is_remembered(slow: Slow) -> None:
    made = slow.client.post(
        "/v1/images/generations", json={"prompt": "waited for", "seed": 21, "size": "256x256", "steps": 1}
    )
    assert made.status_code == 200
    task = until_ended(slow.client, submit(slow.client, prompt="made by a task", seed=22))
    images: list[dict] = []

    def are_listed() -> bool:
        images[:] = slow.client.get("/v1/images", params={"limit": 2}).json()["data"]
        return [image["prompt"] for image in images] == ["made by a task", "waited for"]

    wait_until(are_listed)
    assert images[0]["task_id"] == task["id"] and [image["seed"] for image in images] == [22, 21]
    for image in images:
        assert seed_of(Image.open(io.BytesIO(httpx.get(image["url"]).content))) == image["seed"]
    assert slow.client.delete(f"/v1/images/{images[0]['id']}").json()["deleted"] is True
    assert [image["prompt"] for image in slow.client.get("/v1/images", params={"q": "WAITED"}).json()["data"]] == [
        "waited for"
    ]


def test_tasks_outlive_the_host(tmp_path: Path) -> None:
    import sys

    space = Space(sys.executable, "--step-seconds", "0.01")
    variables = {"spaces": f"z-image-turbo={space.url}", "extra_host": space.url}
    host = Host(state=tmp_path, **variables)
    with httpx.Client(base_url=host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        task = until_ended(client, submit(client, prompt="kept", seed=9))
    assert host.stop() == 0
    again = Host(state=tmp_path, **variables)
    try:
        answer = httpx.get(f"{again.url}/v1/tasks/{task['id']}", headers={"authorization": f"Bearer {KEY}"}).json()
        assert answer["status"] == "succeeded" and answer["data"][0]["seed"] == 9
    finally:
        assert again.stop() == 0
        space.stop()
