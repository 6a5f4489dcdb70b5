"""Streams, as the clients that read them most strictly do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from host import KEY, Host
from liar import Liar
from waiting import wait_until

import openai

PROMPT = "held for readers"
# Longer than a stream waits to begin, and then for an event before it says that it is alive.
SILENCE = 17
PATHS = {
    "images": ("/v1/images/generations", {"prompt": PROMPT, "stream": True, "response_format": "url"}),
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": PROMPT}], "stream": True}),
    "response": ("/v1/responses", {"input": PROMPT, "stream": True}),
}


def by_go(raw: bytes, ends_what_is_empty: bool) -> Iterator[tuple[str, bytes]]:
    """The events as the Go SDK's ``eventStreamDecoder`` reads them.

    It scans lines of 32 MiB at most. Each blank line ends an event; before March 2026 one without data, too.
    """
    name, data = "", b""
    for line in raw.split(b"\n")[:-1]:
        assert len(line) < 32 << 20
        field, _, value = line.removesuffix(b"\r").partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data or ends_what_is_empty:
                yield name, data
            name, data = "", b""
        elif field == b"event":
            name = value.decode()
        elif field == b"data":
            data += value + b"\n"


def values_by_go(raw: bytes, ends_what_is_empty: bool) -> list[dict]:
    """What the Go SDK's ``Stream`` makes of the events: JSON up to ``[DONE]``, none of it an error."""
    values = []
    for _, data in by_go(raw, ends_what_is_empty):
        if data.startswith(b"[DONE]"):
            break
        value = json.loads(data)
        assert "error" not in value or value["error"] is None
        values.append(value)
    return values


def values_by_python(raw: bytes) -> list[dict]:
    """What the Python SDK's ``Stream`` makes of a body."""
    with openai.OpenAI(api_key=KEY, base_url="http://127.0.0.1:1") as client:
        request = httpx.Request("GET", "http://127.0.0.1:1")
        response = httpx.Response(200, content=raw, request=request, headers={"content-type": "text/event-stream"})
        return list(openai.Stream(cast_to=object, response=response, client=client))


class Silent:
    """The answers that were silent for long, and the task that was followed meanwhile."""

    def __init__(self, host: Host, liar: Liar) -> None:
        self.host, self.raw = host, dict[str, bytes]()
        self.http = httpx.Client(base_url=host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=100)
        self.task = self.http.post("/v1/images/generations", json={"prompt": PROMPT, "async": True}).json()
        calls = {name: self._post(*call) for name, call in PATHS.items()}
        calls["task"] = lambda: self.http.get(f"/v1/tasks/{self.task['id']}/events")
        threads = [threading.Thread(target=self._read, args=call) for call in calls.items()]
        for thread in threads:
            thread.start()
        time.sleep(SILENCE)
        liar.release(PROMPT)
        for thread in threads:
            thread.join(100)

    def _post(self, path: str, fields: dict) -> Callable[[], httpx.Response]:
        return lambda: self.http.post(path, json=fields)

    def _read(self, name: str, call: Callable[[], httpx.Response]) -> None:
        self.raw[name] = call().raise_for_status().content


@pytest.fixture(scope="module")
def silent(liar: Liar) -> Iterator[Silent]:
    host = Host(spaces=f"z={liar.url}", extra_host=liar.url, idle_timeout=60)
    yield Silent(host, liar)
    assert host.stop() == 0


@pytest.mark.parametrize("name", [*PATHS, "task"])
def test_a_silence_is_no_event_to_any_reader(silent: Silent, name: str) -> None:
    raw = silent.raw[name]
    assert b"heartbeat\n\n" not in raw and raw.endswith(b"\n\n")
    values = values_by_python(raw)
    assert values == values_by_go(raw, ends_what_is_empty=True) == values_by_go(raw, ends_what_is_empty=False)
    if name == "chat":
        assert not raw.startswith(b":") and b"\n:" not in raw, "clients of chats know no comments"
        empty = [chunk for chunk in values if chunk["choices"][0]["delta"] == {}]
        assert [chunk["choices"][0]["finish_reason"] for chunk in empty] == [None] * (len(empty) - 1) + ["stop"]
        assert len(empty) > 1
    else:
        assert b": heartbeat\n" in raw
        ends = {"images": "image_generation.completed", "response": "response.completed", "task": "task.completed"}
        assert values[-1]["type"] == ends[name]


def test_a_task_is_followed_by_the_python_sdk_from_where_it_was_left(silent: Silent) -> None:
    wait_until(lambda: silent.http.get(f"/v1/tasks/{silent.task['id']}").json()["status"] == "succeeded", "it ends")
    with openai.OpenAI(base_url=f"{silent.host.url}/v1", api_key=KEY, max_retries=0) as client:
        path, stream = f"/tasks/{silent.task['id']}/events", openai.Stream[object]
        seen = list(client.get(path, cast_to=object, stream=True, stream_cls=stream))
        assert [event["type"] for event in seen] == ["task.completed"]
        followed = values_by_python(silent.raw["task"])
        left = {"headers": {"last-event-id": str(followed[-2]["sequence"])}}
        again = list(client.get(path, cast_to=object, stream=True, stream_cls=stream, options=left))
        assert [event["sequence"] for event in again] == [followed[-1]["sequence"]]
