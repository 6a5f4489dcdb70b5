"""Clients and Spaces that would end the instance which they share with others."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from host import Host
from liar import Liar
from pictures import events
from strangers import HEADERS, generate, serving, strangers
from waiting import wait_until


@pytest.fixture(scope="module")
def shared(liar: Liar) -> Iterator[Host]:
    with serving(liar) as host:
        yield host


@pytest.mark.parametrize("body", [b"[" + b"{}," * 9_000_000 + b"{}]", b"[" * 100_000, b'{"a":' * 90_000], ids=len)
def test_a_body_of_many_values_hurts_nobody(shared: Host, liar: Liar, body: bytes) -> None:
    with strangers(shared, liar, f"held while {len(body)} bytes come"):
        for path in ["/v1/chat/completions", "/v1/responses", "/v1/images/edits"]:
            answer = httpx.post(
                shared.url + path, content=body, headers=HEADERS | {"content-type": "application/json"}, timeout=60
            )
            assert answer.status_code in (400, 413), answer.text
            assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_space_that_answers_with_many_values_hurts_nobody(shared: Host, liar: Liar) -> None:
    with strangers(shared, liar, "held while values come"):
        assert generate(shared, "many values").json()["error"]["code"] == "space_unreadable"
        assert generate(shared, "many values before").status_code == 200
        shown = generate(shared, "many values before", stream=True, partial_images=1)
        assert [name for name, _ in events(shown)] == ["image_generation.completed"]


def test_a_space_that_chatters_is_thinned_out(shared: Host, liar: Liar) -> None:
    with strangers(shared, liar, "held while a Space chatters"):
        answer = generate(shared, "chatter", stream=True, progress=True)
        told = events(answer)
        assert told[-1][0] == "image_generation.completed"
        assert len(told) < 100_000, len(told)


@contextmanager
def unread(host: Host, prompt: str) -> Iterator[None]:
    """A stream with more in it than buffers hold, by a client that sends its request and reads nothing."""
    body = json.dumps({"prompt": prompt, "stream": True, "partial_images": 3}).encode()
    head = f"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\nauthorization: {HEADERS['authorization']}\r\n"
    url = httpx.URL(host.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((url.host, url.port))
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        yield


@contextmanager
def one_slot(liar: Liar) -> Iterator[Host]:
    """The application in front of the lying Space, which takes one job at a time."""
    catalog = f'[models.z]\nspaces = [{{ space = "{liar.url}", slots = 1 }}]\n'
    host = Host(catalog=catalog, extra_host=liar.url, idle_timeout=300)
    try:
        yield host
    finally:
        assert host.stop() == 0


def test_a_stream_that_nobody_reads_holds_no_slot_beyond_its_job(liar: Liar) -> None:
    prompt = "large previews"
    with one_slot(liar) as host, unread(host, prompt):
        wait_until(lambda: liar.joined(prompt) == 1)
        assert generate(host, "fine").status_code == 200


@pytest.mark.busy
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_client_that_takes_nothing_for_a_minute_is_gone(liar: Liar) -> None:
    prompt = "held for large previews that nobody reads"
    with one_slot(liar) as host, unread(host, prompt):
        wait_until(lambda: liar.joined(prompt) == 1)
        (session,) = [session for session, job in liar.jobs.items() if job == prompt]
        waited = wait_until(lambda: session in liar.cancelled, "the job is left at its Space", limit=240)
        assert waited > 50, "for a minute, a client may be busy"
        assert generate(host, "fine").status_code == 200
        # Unless the host, which has the same limit, was the first to close the connection.
        assert sum("took nothing" in line for line in host.log) <= 1, host.log


def test_a_foreign_page_makes_nothing_where_no_key_is_asked_for(liar: Liar) -> None:
    host = Host(spaces=f"z-image-turbo={liar.url}", extra_host=liar.url, api_keys="", auth="open", cors_origins="none")
    try:
        url = f"{host.url}/v1/images/generations"
        simple = {"content": b'{"prompt": "fine"}', "timeout": 60}
        foreign = httpx.post(url, headers={"origin": "https://evil.example"}, **simple)
        assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "origin_not_allowed")
        rebound = {"origin": "http://evil.example:80", "host": "evil.example:80"}
        assert httpx.post(url, headers=rebound, **simple).status_code == 403
        # A page of the same origin says nothing of itself where it only reads.
        read = httpx.get(f"{host.url}/v1/images", headers={"host": "evil.example"})
        assert (read.status_code, read.json()["error"]["code"]) == (403, "host_not_allowed")
        assert httpx.get(f"{host.url}/v1/images").status_code == 200
        assert httpx.post(url, headers={"origin": host.url}, **simple).status_code == 200
        assert httpx.post(url, **simple).status_code == 200
    finally:
        assert host.stop() == 0
