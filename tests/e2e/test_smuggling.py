"""Requests whose end two readers could see in two places: none is answered as two."""

from __future__ import annotations

import re
import socket

import httpx
import pytest
from host import KEY, Host

SECOND = b"GET /v1/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
"""A request in the body of another one."""

ALL = str(len(SECOND)).encode()
CHUNKS = b"0\r\n\r\n"
AND_CHUNKS = str(len(CHUNKS + SECOND)).encode()
CHUNKED = b"transfer-encoding: chunked"

FRAMINGS = {
    "length and chunks": ([b"content-length: " + AND_CHUNKS, CHUNKED], CHUNKS),
    "chunks and length": ([CHUNKED, b"content-length: 4"], CHUNKS),
    "two lengths": ([b"content-length: 0", b"content-length: " + ALL], b""),
    "two lengths in one": ([b"content-length: 0, " + ALL], b""),
    "the same length in one": ([b"content-length: 0, 0"], b""),
    "a sign": ([b"content-length: +" + ALL], b""),
    "less than nothing": ([b"content-length: -1"], b""),
    "hexadecimal": ([b"content-length: 0x0"], b""),
    "a space before the colon": ([b"content-length : " + ALL], b""),
    "a coding that is none": ([b"transfer-encoding: xchunked"], CHUNKS),
    "chunks that are not the last coding": ([b"transfer-encoding: chunked, identity"], CHUNKS),
    "codings that disagree": ([CHUNKED, b"transfer-encoding: identity"], CHUNKS),
    "white space that is none": ([b"transfer-encoding:\x0bchunked"], CHUNKS),
    "a folded line": ([b"transfer-encoding:\r\n chunked", b"content-length: " + AND_CHUNKS], CHUNKS),
    "a bare CR": ([b"a: b\rcontent-length: " + ALL, b"content-length: 0"], b""),
    "a NUL": ([b"a: b\0c"], b""),
    "a line without a colon": ([b"abc"], b""),
    "a chunk of no size": ([CHUNKED], b"10000000000000000\r\n"),
    "a chunk's size that ends in LF": ([CHUNKED], b"0\n\n"),
    "a chunk that is longer than it says": ([CHUNKED], b"1\r\naXX0\r\n\r\n"),
    "an LF within a chunk's extension": ([CHUNKED], b"0;a\nb\r\n\r\n"),
}


def answers(host: Host, sent: bytes) -> bytes:
    """All that is answered until the connection is closed, or silent for a second."""
    url = httpx.URL(host.url)
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        connection.sendall(sent)
        received = b""
        # The first answer may take its time; a second one would come with it.
        while True:
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                return received
            if not piece:
                return received + b"\nclosed"
            received += piece
            connection.settimeout(1)


@pytest.mark.parametrize("name", FRAMINGS)
def test_a_request_is_one_request_or_none(host: Host, name: str) -> None:
    headers, body = FRAMINGS[name]
    head = [b"POST /v1/images/generations HTTP/1.1", b"host: x", b"authorization: Bearer " + KEY.encode(), *headers]
    received = answers(host, b"\r\n".join([*head, b"", b""]) + body + SECOND)
    statuses = re.findall(rb"^HTTP/1.1 (\d+)", received, re.M)
    assert statuses in ([b"400"], [b"408"]), received
    assert b"smuggled" not in received
    assert received.endswith(b"\nclosed"), "what follows is nobody's request"


def test_chunks_need_http_1_1(host: Host) -> None:
    head = b"POST /v1/images/generations HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\n" + CHUNKED + b"\r\n\r\n"
    received = answers(host, head + CHUNKS + SECOND)
    assert re.findall(rb"^HTTP/1.\d (\d+)", received, re.M) == [b"400"] and b"smuggled" not in received, received


def test_a_body_that_nobody_reads_is_no_request(host: Host) -> None:
    head = b"GET /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: " + ALL + b"\r\n\r\n"
    received = answers(host, head + SECOND)
    assert re.findall(rb"^HTTP/1.1 (\d+)", received, re.M) == [b"401"] and b"smuggled" not in received, received


def test_a_request_has_one_host(host: Host) -> None:
    received = answers(host, b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: y\r\nconnection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400 "), received


def test_spin_headers_are_the_hosts_own(host: Host) -> None:
    """A client that names another URL or address is not believed."""
    lies = {"spin-full-url": "http://evil.example/v1/models", "spin-client-addr": "10.0.0.1:1"}
    made = httpx.post(
        f"{host.url}/v1/images/generations",
        json={"prompt": "x", "size": "256x256", "steps": 1, "response_format": "url"},
        headers={"authorization": f"Bearer {KEY}"} | lies,
        timeout=60,
    )
    assert made.json()["data"][0]["url"].startswith(host.url), made.text
