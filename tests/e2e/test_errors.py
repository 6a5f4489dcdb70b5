"""Errors, reported as what they are, in bounded time."""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from host import KEY, Host, Space
from liar import Liar
from waiting import wait_until

import openai
from app import HELD


def error_of(answer: httpx.Response) -> dict:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-should-retry"] in ("true", "false")
    assert answer.headers["content-type"] == "application/json"
    return error


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["x"]}, "prompt"),
        ({"prompt": "x" * 32001}, "prompt"),
        ({"prompt": "x", "n": 0}, "n"),
        ({"prompt": "x", "n": 11}, "n"),
        ({"prompt": "x", "n": "two"}, "n"),
        ({"prompt": "x", "size": "large"}, "size"),
        ({"prompt": "x", "size": "8x8"}, "size"),
        ({"prompt": "x", "seed": -5}, "seed"),
        ({"prompt": "x", "steps": 1.5}, "steps"),
        ({"prompt": "x", "model": 1}, "model"),
        ({"prompt": "x", "partial_images": 4}, "partial_images"),
        ({"prompt": "x", "stream": "yes"}, "stream"),
    ],
)
def test_a_bad_field_is_named(http: httpx.Client, fields: dict, param: str) -> None:
    answer = http.post("/v1/images/generations", json=fields)
    error = error_of(answer)
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b'{"prompt": "\x01"}'])
def test_a_body_that_is_no_object(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/v1/images/generations", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert error_of(answer)["type"] == "invalid_request_error"


def test_routes_methods_types_and_sizes(http: httpx.Client, host: Host) -> None:
    for method, path, status in [
        ("GET", "/v1/images/generations", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1", 404),
    ]:
        answer = http.request(method, path)
        assert answer.status_code == status, path
        error_of(answer)
        assert (status == 405) == ("allow" in answer.headers)
    typed = {"content": "prompt", "headers": {"content-type": "text/plain"}}
    assert error_of(http.post("/v1/images/generations", **typed))["code"] is None
    assert http.post("/v1/images/generations", **typed).status_code == 415
    large = http.post("/v1/images/generations", json={"prompt": "x", "padding": "x" * 2_000_000})
    assert large.status_code == 413
    with pytest.raises(openai.AuthenticationError) as error:
        openai.OpenAI(base_url=f"{host.url}/v1", api_key="sk-wrong", max_retries=0).images.generate(prompt="x")
    assert error.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as error:
        openai.OpenAI(base_url=f"{host.url}/v1", api_key=KEY, max_retries=0).images.generate(
            prompt="x", model="dall-e-9"
        )
    assert error.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("path", "kind", "length"),
    [
        ("generations", "application/json", 80 << 20),
        ("edits", "multipart/form-data; boundary=x", 70_000_000),
        ("edits", "application/json", 1 << 33),
    ],
)
def test_what_is_announced_as_too_large_is_refused_before_it_comes(
    host: Host, path: str, kind: str, length: int
) -> None:
    head = [
        f"POST /v1/images/{path} HTTP/1.1",
        "host: x",
        f"authorization: Bearer {KEY}",
        f"content-type: {kind}",
        f"content-length: {length}",
    ]
    with socket.create_connection((httpx.URL(host.url).host, httpx.URL(host.url).port), timeout=10) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("prompt", "status", "code", "kind"),
    [
        ("fault: gr.Error", 400, "rejected_by_space", "image_generation_user_error"),
        ("fault: exception", 422, "space_error", "server_error"),
        ("fault: no image", 422, "no_image", "server_error"),
    ],
)
def test_what_a_real_space_raises(client: openai.OpenAI, prompt: str, status: int, code: str, kind: str) -> None:
    answers: list[httpx.Response] = []
    with httpx.Client(event_hooks={"response": [answers.append]}, timeout=60) as http:
        client = client.with_options(max_retries=2, http_client=http)
        with pytest.raises(openai.APIStatusError) as error:
            client.images.generate(prompt=prompt, extra_body={"steps": 1})
    assert (error.value.status_code, error.value.code, error.value.type) == (status, code, kind)
    assert len(answers) == 1, "what can't be mended isn't tried again"
    if prompt == "fault: gr.Error":
        assert error.value.body["message"] == "Prompt rejected: bad words"
    assert "secret" not in str(error.value)


@pytest.mark.busy
def test_a_full_queue(tmp_path: Path) -> None:
    arguments = ["--at-once", "1", "--max-queue", "1", "--step-seconds", "0.01"]
    space = Space(sys.executable, *arguments, "--journal", str(tmp_path / "journal"))
    catalog = f'[models.z]\nspaces = [{{ space = "{space.url}", slots = 10 }}]\n'
    host = Host(catalog=catalog, extra_host=space.url)
    answers: list[httpx.Response] = []

    def ask() -> None:
        json = {"prompt": HELD, "size": "256x256", "steps": 1}
        headers = {"authorization": f"Bearer {KEY}"}
        answers.append(httpx.post(f"{host.url}/v1/images/generations", json=json, headers=headers, timeout=60))

    try:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: any(answer.status_code == 503 for answer in list(answers)), "the queue is not full")
        (tmp_path / "journal.released").touch()
        for thread in threads:
            thread.join()
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused and all(answer.status_code in (200, 503) for answer in answers), answers
        assert error_of(refused[0])["code"] == "server_is_overloaded"
        assert int(refused[0].headers["retry-after"]) > 0
    finally:
        host.stop()
        space.stop()


@pytest.mark.busy
def test_a_space_that_is_down_or_dies(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    space = Space(sys.executable, "--journal", str(journal))
    host = Host(spaces=f"z={space.url}", extra_host=space.url)
    headers = {"authorization": f"Bearer {KEY}"}
    try:

        def kill() -> None:
            wait_until(journal.exists)
            space.kill()

        threading.Thread(target=kill).start()
        cut = httpx.post(
            f"{host.url}/v1/images/generations", json={"prompt": "fault: slow"}, headers=headers, timeout=60
        )
        assert (cut.status_code, error_of(cut)["code"]) == (502, "space_connection_lost")
        down = httpx.post(f"{host.url}/v1/images/generations", json={"prompt": "x"}, headers=headers, timeout=60)
        assert (down.status_code, error_of(down)["code"]) == (502, "space_unreachable")
    finally:
        host.stop()
        space.kill()


def test_a_space_that_may_not_be_connected_to(space) -> None:
    host = Host(spaces=f"z={space.url}")
    try:
        headers = {"authorization": f"Bearer {KEY}"}
        answer = httpx.post(f"{host.url}/v1/images/generations", json={"prompt": "x"}, headers=headers)
        assert (answer.status_code, error_of(answer)["code"]) == (500, "space_not_allowed")
        assert "extra_host" in answer.json()["error"]["message"]
    finally:
        host.stop()


LIES = {
    "cut": (502, "space_connection_lost"),
    "end": (502, "space_connection_lost"),
    "hang": (504, "space_stalled"),
    "heartbeat": (504, "space_timeout"),
    "huge event": (502, "space_unreadable"),
    "babble": (502, "space_unreadable"),
    "unexpected": (502, "space_queue_failed"),
    "cancelled": (502, "space_cancelled"),
    "join 503": (503, "server_is_overloaded"),
    "join 500": (502, "space_error"),
    "join hang": (504, "space_stalled"),
    "join redirect": (502, "space_redirects"),
    "dot path": (502, "space_unreadable"),
    "no file": (422, "image_elsewhere"),
    "page": (502, "space_unreadable"),
    "svg": (502, "space_unreadable"),
    "huge": (502, "space_unreadable"),
    "redirect": (502, "space_redirects"),
    "short": (502, "space_connection_lost"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_space_gets_nowhere(http_lied_to: httpx.Client, liar: Liar, lie: str) -> None:
    until = time.monotonic() + 30
    answer = http_lied_to.post("/v1/images/generations", json={"prompt": lie})
    # A job that the Space may have taken before it fell silent holds its slot for a while.
    while answer.status_code == 503 and LIES[lie][0] != 503 and time.monotonic() < until:
        time.sleep(1)
        answer = http_lied_to.post("/v1/images/generations", json={"prompt": lie})
    assert (answer.status_code, error_of(answer)["code"]) == LIES[lie]
    assert "set-cookie" not in answer.headers
    assert not any("elsewhere" in path for path in liar.paths())


def test_the_foreign_url_of_a_file_is_not_used(http_lied_to: httpx.Client) -> None:
    assert http_lied_to.post("/v1/images/generations", json={"prompt": "foreign url"}).status_code == 200


@pytest.mark.busy
@pytest.mark.parametrize("lie", ["hang", "heartbeat", "cut"])
def test_a_job_that_is_given_up_is_cancelled(http_lied_to: httpx.Client, liar: Liar, lie: str) -> None:
    before = set(liar.jobs)
    http_lied_to.post("/v1/images/generations", json={"prompt": lie})
    (session,) = set(liar.jobs) - before
    wait_until(lambda: session in liar.cancelled)


def test_images_that_are_made_survive_those_that_fail(http_lied_to: httpx.Client, liar: Liar) -> None:
    """All jobs of a request share a prompt, so it is the queue that takes the first and refuses the second."""
    joins = iter(["fine", "join 503", "fine"])
    original = liar.post

    def post(handler, call):
        if "data" in call:
            call["data"][0] = next(joins)
        original(handler, call)

    liar.post = post
    try:
        answer = http_lied_to.post("/v1/images/generations", json={"prompt": "fine", "n": 3}).json()
    finally:
        liar.post = original
    assert len(answer["data"]) == 2
    assert [error["code"] for error in answer["errors"]] == ["server_is_overloaded"]
