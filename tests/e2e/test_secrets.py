"""Secrets by canary: each has a word in it that nothing else has, and nothing that comes out may have one."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from database import PASSWORD, Postgres
from host import Host
from liar import Liar
from pictures import data_url, plain
from talker import Talker
from waiting import wait_until

CANARY = "canary"
KEYS = ["sk-canary-first-0123456789", "sk-canary-second-0123456789"]
TOKENS = ["hf_canary0one", "hf_canary0two", "hf_canary0three"]
LINK_SECRET = "canary-of-the-links-0123456789"
WEBHOOK_BYTES = b"canary of webhooks, 32 bytes.."
WEBHOOK_SECRET = f"whsec_{base64.b64encode(WEBHOOK_BYTES).decode()}"
METRICS_KEY = "canary-of-the-figures-0123456789"
SECRETS = [*KEYS, *TOKENS, LINK_SECRET, WEBHOOK_SECRET, METRICS_KEY, PASSWORD]
PROMPT = "a prompt of canaryyellow"
"""A prompt that the log doesn't have. The database has it, where it is needed."""

SPACE_FAULTS = ["cut", "unexpected", "cancelled", "join 503", "join 500", "join redirect", "no file", "page", "babble"]


def forms_of(secret: str | bytes) -> set[bytes]:
    """The secret as it is, and as encodings would have it."""
    raw = secret.encode() if isinstance(secret, str) else secret
    encoded = base64.b64encode(raw)
    # Within a longer text, base64 begins at any of three places.
    shifted = {base64.b64encode(b"x" * shift + raw)[4:-4] for shift in (1, 2)}
    return {raw, encoded[:-4], encoded[:-4].replace(b"+", b"-").replace(b"/", b"_"), raw.hex().encode(), *shifted}


FORMS = {form: str(secret) for secret in [*SECRETS, WEBHOOK_BYTES] for form in forms_of(secret)}


def check(where: str, data: str | bytes, extra: tuple[str, ...] = ()) -> None:
    data = data.encode() if isinstance(data, str) else data
    found = [secret for form, secret in FORMS.items() if form in data]
    found += [word for word in extra if word.encode() in data]
    assert not found, f"{found} in {where}"


class Receiver:
    """Takes webhooks, and remembers all of each."""

    def __init__(self) -> None:
        receiver = self
        self.messages: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.messages.append(f"{self.path}\n{self.headers}\n{body.decode()}")
                self.send_response(204)
                self.send_header("content-length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def talker() -> Iterator[Talker]:
    talker = Talker("a text")
    yield talker
    talker.stop()


def variables(liar: Liar, talker: Talker, receiver: Receiver) -> dict[str, str | int]:
    """Every secret that there is, and Spaces that are well, faulty, down and unknown."""
    catalog = "".join(
        f'[models.{model}]\nspaces = [{{ space = "{space}", tokens = ["{token}", "{TOKENS[2]}"], slots = 16 }}]\n'
        for model, space, token in [
            ("z", liar.url, TOKENS[0]),
            ("told", talker.url, TOKENS[1]),
            ("down", "http://127.0.0.1:9", TOKENS[0]),
            ("refused", "http://127.0.0.2:9", TOKENS[1]),
        ]
    )
    # A mistake of each kind is reported, and the report has a line of the catalogue at most by its number.
    catalog += (
        f'[models.wrong]\nspaces = [{{ space = "a/b", token = "{TOKENS[0]} two", slots = 0 }}]\nstep = "{TOKENS[1]}"\n'
    )
    return {
        "api_keys": ",".join(KEYS),
        "catalog": catalog,
        "extra_host": "http://127.0.0.1:*",
        "link_secret": LINK_SECRET,
        "webhook_host": receiver.url,
        "webhook_secret": WEBHOOK_SECRET,
        "metrics_key": METRICS_KEY,
        "idle_timeout": 2,
        "job_timeout": 4,
    }


def ask_everything(host: Host, receiver: Receiver) -> list[httpx.Response]:
    """Everything that can be asked, with the right key, a wrong one and none, of Spaces in every state."""
    answers: list[httpx.Response] = []
    key = {"authorization": f"Bearer {KEYS[0]}"}
    client = httpx.Client(base_url=host.url, headers=key, timeout=60, event_hooks={"response": [answers.append]})

    def post(path: str, fields: dict, **options: object) -> httpx.Response:
        return client.post(path, json=fields, **options)

    made = post("/v1/images/generations", {"model": "z", "prompt": PROMPT, "response_format": "url", "n": 2}).json()
    links = [item["url"] for item in made["data"]]
    post("/v1/images/generations", {"model": "z", "prompt": PROMPT, "stream": True, "progress": True})
    post("/v1/images/edits", {"model": "z", "prompt": PROMPT, "images": [data_url(plain("red"))]})
    post("/v1/images/edits", {"model": "z", "prompt": PROMPT, "images": ["http://127.0.0.1:1/x"]})
    chat = {"model": "z", "messages": [{"role": "user", "content": PROMPT}]}
    post("/v1/chat/completions", chat)
    post("/v1/chat/completions", chat | {"stream": True})
    post(
        "/v1/responses",
        {"model": "z", "input": PROMPT, "tools": [{"type": "image_generation"}], "metadata": {"a": "b"}},
    )
    troubles = [("z", fault) for fault in SPACE_FAULTS]
    troubles += [("told", "raised"), ("told", "detail"), ("down", PROMPT), ("refused", PROMPT), ("wrong", PROMPT)]
    with ThreadPoolExecutor(8) as pool:
        for model, prompt in troubles:
            pool.submit(post, "/v1/images/generations", {"model": model, "prompt": prompt})
            pool.submit(post, "/v1/responses", {"model": model, "input": prompt, "stream": True})
    fields = {"model": "z", "prompt": PROMPT, "async": True, "webhook_url": f"{receiver.url}/hook"}
    task = post("/v1/images/generations", fields, headers={"idempotency-key": "one"}).json()["id"]
    wait_until(lambda: receiver.messages, "no webhook has come")
    for path in [
        f"/v1/tasks/{task}",
        f"/v1/tasks/{task}/events",
        "/v1/tasks",
        "/v1/images",
        "/v1/models",
        "/v1/spaces",
    ]:
        client.get(path)
    client.get("/metrics", headers={"authorization": f"Bearer {METRICS_KEY}"})
    for path in [
        "/v1/models/z",
        "/v1/models/nothing",
        "/healthz",
        "/readyz",
        "/metrics",
        "/",
        "/index.html",
        "/js/main.js",
        "/nothing",
    ]:
        client.get(path)
    for link in links:
        client.get(link)
        client.get(link[:-8])
    for wrong in [
        {"authorization": "Bearer sk-wrong"},
        {"authorization": ""},
        {"api-key": KEYS[1][:-1]},
        {"x-api-key": "é"},
    ]:
        headers = {name: value.encode() for name, value in wrong.items()}
        answers.append(httpx.get(f"{host.url}/v1/models", headers=headers))
    client.request("TRACE", "/v1/models")
    client.options("/v1/models", headers={"origin": "https://chat.example", "access-control-request-method": "POST"})
    client.post("/v1/images/generations", content=b"{")
    client.close()
    return answers


def check_answers(answers: list[httpx.Response]) -> None:
    assert len(answers) > 40
    assert {200, 400, 401, 404, 502} <= {answer.status_code for answer in answers}
    for answer in answers:
        where = f"the answer {answer.status_code} to {answer.request.method} {answer.request.url}"
        check(where, str(answer.headers))
        check(where, answer.read())


def test_no_secret_comes_out_of_a_host_with_sqlite(
    liar: Liar, talker: Talker, receiver: Receiver, tmp_path: Path
) -> None:
    host = Host(state=tmp_path, **variables(liar, talker, receiver), database_url=f"postgres://u:{PASSWORD}@h/d")
    try:
        check_answers(ask_everything(host, receiver))
    finally:
        assert host.stop() == 0
    log = "".join(host.log)
    assert log.count("request_id") > 10, "what went wrong is in the log"
    check("the log", log, (PROMPT, "canaryyellow"))
    for space in (liar, talker):
        assert space.requests
        check("what a Space was sent", json.dumps(space.requests))
    for message in receiver.messages:
        check("a webhook", message)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) > 10_000
    for path in files:
        check(f"the database's {path.name}", path.read_bytes())


def test_no_secret_comes_out_of_a_host_with_postgres(
    liar: Liar, talker: Talker, receiver: Receiver, postgres: Postgres
) -> None:
    settings = variables(liar, talker, receiver)
    host = Host(**settings, database="postgres", database_url=postgres.url, database_host=postgres.host)
    try:
        check_answers(ask_everything(host, receiver))
    finally:
        assert host.stop() == 0
    check("the log", "".join(host.log), (PROMPT, "canaryyellow"))


def test_a_database_that_refuses_the_password_gives_it_away_to_nobody(liar: Liar, postgres: Postgres) -> None:
    url = postgres.url.replace(PASSWORD, LINK_SECRET)
    settings = {
        "database": "postgres",
        "database_url": url,
        "database_host": postgres.host,
        "webhook_secret": WEBHOOK_SECRET,
    }
    host = Host(spaces=f"z={liar.url}", extra_host=liar.url, api_keys=KEYS[0], **settings)
    try:
        with httpx.Client(base_url=host.url, headers={"authorization": f"Bearer {KEYS[0]}"}, timeout=60) as client:
            answers = [client.get(path) for path in ["/v1/tasks", "/v1/images", "/readyz"]]
            answers.append(client.post("/v1/images/generations", json={"prompt": "fine"}))
    finally:
        host.kill()
    assert answers[0].status_code == 503 and answers[-1].status_code == 200
    for answer in answers:
        check("an answer without a database", f"{answer.headers}{answer.text}")
    log = "".join(host.log)
    assert "no connection to the PostgreSQL server" in log, log
    check("the log", log)


def test_a_host_that_can_not_start_shows_no_secret(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as failed:
        Host(state=tmp_path, nothing_like_that=1, api_keys=KEYS[0], link_secret=LINK_SECRET)
    check("what it says", str(failed.value))
