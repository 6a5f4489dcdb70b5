"""Texts of Spaces and clients that would like to get out of their place: a header, a log line, a statement."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator

import httpx
import pytest
from host import KEY, Host
from pictures import events
from talker import NASTY, Talker

OTHER = "sk-end-to-end-other-0123456789"
LONGEST = 700
"""Longest text of a Space's in an answer, in characters: 500 and the words around it."""


@pytest.fixture(scope="module")
def talker() -> Iterator[Talker]:
    talker = Talker()
    yield talker
    talker.stop()


@pytest.fixture(scope="module")
def told(talker: Talker) -> Iterator[Host]:
    """The application in front of it. Each of its log lines is one."""
    host = Host(spaces=f"z-image-turbo={talker.url}", extra_host=talker.url, api_keys=f"{KEY},{OTHER}")
    yield host
    log = host.end()
    records = [line.strip() for line in log.splitlines() if "request_id" in line]
    assert len(records) > 10
    for record in records:
        assert isinstance(json.loads(record[record.index("{") :]), dict), record
        assert record.isprintable() and len(record) < 5000, record


@pytest.fixture
def http_told(told: Host) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=told.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        yield client


def check_head(answer: httpx.Response) -> None:
    assert "set-cookie" not in answer.headers and "hurt" not in str(answer.headers)
    assert sum(len(value) for _, value in answer.headers.multi_items()) < 4000
    assert answer.headers["content-type"] in ("application/json", "text/event-stream; charset=utf-8")


def check_text(text: str) -> None:
    assert 0 < len(text) < LONGEST
    for char in text:
        assert unicodedata.category(char) not in ("Cc", "Cf", "Zl", "Zp"), (char, text)
    assert "<img" not in text and "<script" not in text


@pytest.mark.parametrize("where", ["raised", "shown", "unexpected", "detail"])
def test_an_error_of_a_space_stays_in_its_place(http_told: httpx.Client, where: str) -> None:
    waited = http_told.post("/v1/images/generations", json={"prompt": where})
    check_head(waited)
    assert waited.status_code >= 400
    check_text(waited.json()["error"]["message"])
    streamed = http_told.post(
        "/v1/chat/completions", json={"messages": [{"role": "user", "content": where}], "stream": True}
    )
    check_head(streamed)
    said = "".join(
        chunk["choices"][0]["delta"].get("content") or "" for _, chunk in events(streamed) if "choices" in chunk
    )
    check_text(said.replace("\n", ""))
    assert "![" not in said.replace("\\!\\[", "") and "](" not in said.replace("\\]\\(", ""), "no Markdown of theirs"
    responded = http_told.post("/v1/responses", json={"input": where, "tools": [{"type": "image_generation"}]})
    check_head(responded)


def test_a_file_name_of_a_space_stays_in_its_place(http_told: httpx.Client, talker: Talker) -> None:
    made = http_told.post("/v1/images/generations", json={"prompt": "path", "response_format": "url"})
    check_head(made)
    assert made.status_code in (200, 502)
    if made.status_code == 200:
        url = made.json()["data"][0]["url"]
        assert url.isascii() and not set(url) & set(" \r\n<>\"'")
        httpx.get(url, timeout=60)
        assert not any("set-cookie" in headers for _, _, headers in talker.requests)


def test_a_description_of_a_space_stays_in_its_place(http_told: httpx.Client) -> None:
    http_told.post("/v1/images/generations", json={"prompt": "fine"})
    for path in ["/v1/models", "/v1/models/z-image-turbo", "/v1/spaces", "/readyz"]:
        answer = http_told.get(path)
        check_head(answer)
        assert answer.status_code == 200 and answer.json()
    listed = http_told.get("/v1/spaces").text
    assert "\x1b" not in listed and "\u202e" not in listed


@pytest.mark.parametrize("name", ["a\r\nset-cookie: hurt=1", "x" * 131_072, NASTY[:2000], "é", "a,b;c\x00"], ids=len)
def test_a_field_name_of_a_client_stays_in_its_place(http_told: httpx.Client, name: str) -> None:
    answer = http_told.post("/v1/images/generations", json={"prompt": "fine", name: 1})
    assert answer.status_code == 200, answer.text[:1000]
    check_head(answer)


def test_a_path_and_a_header_of_a_client_stay_in_their_place(http_told: httpx.Client) -> None:
    quoted = "/v1/%0d%0aset-cookie:%20hurt=1%1b[31m%e2%80%a8" + "x" * 2000
    answer = http_told.get(quoted)
    check_head(answer)
    assert answer.status_code == 404
    for header in ["x-request-id", "origin", "prefer", "last-event-id", "if-none-match", "range"]:
        check_head(http_told.get("/v1/nothing", headers={header: "a" * 3000}))


def test_a_compressed_answer_is_not_unpacked(http_told: httpx.Client, talker: Talker) -> None:
    """No coding is asked for, and one that comes all the same makes an image of nothing."""
    made = http_told.post("/v1/images/generations", json={"prompt": "compressed"})
    assert (made.status_code, made.json()["error"]["code"]) == (502, "space_unreadable"), made.text
    assert all("accept-encoding" not in {name.lower() for name in headers} for _, _, headers in talker.requests)


STATEMENTS = ["'; DROP TABLE tasks; --", '" OR 1=1 --', "%", "_", "\\", "$1", "x') ON CONFLICT DO NOTHING; --", "\x00"]


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_text_is_no_part_of_a_statement(told: Host, http_told: httpx.Client, text: str) -> None:
    made = http_told.post(
        "/v1/images/generations",
        json={"prompt": f"fine {text}", "user": text},
        headers={"idempotency-key": text if text.isprintable() else "x"},
    )
    assert made.status_code == 200, made.text
    other = {"authorization": f"Bearer {OTHER}"}
    for path in ["/v1/images", "/v1/tasks"]:
        for asked in [{"q": text}, {"after": text}, {"status": text}, {"q": "'", "after": "img_'"}]:
            mine, theirs = http_told.get(path, params=asked), http_told.get(path, params=asked, headers=other)
            assert mine.status_code in (200, 400, 404), mine.text
            assert not theirs.json().get("data"), "another key sees nothing"
    for path in ["/v1/tasks/{}", "/v1/images/{}", "/v1/tasks/{}/events"]:
        quoted = httpx.QueryParams({"x": text}).__str__().removeprefix("x=").replace("+", "%20")
        assert http_told.get(path.format(f"task_{quoted}")).status_code in (404, 405)
    assert http_told.delete("/v1/images/img_x%27%20OR%201=1").status_code == 404
    assert http_told.get("/v1/tasks").status_code == 200, "the tables are there"
