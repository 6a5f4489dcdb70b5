"""Clients of the bundled host that speak no more HTTP than they must to be in its way."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from host import Host
from waiting import wait_until

IDLE = 2
"""Seconds after which the host closes a connection that is of no use."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SILENT = {"nothing": b"", "half a head": b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: ", "a bare preface": PREFACE}

DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
GET = b"\x82\x86\x04\x08/healthz\x41\x01x"
"""A request for `/healthz`, in HPACK."""


@pytest.fixture(scope="module", autouse=True)
def many_sockets() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 8192 else 8192, hard))


@contextlib.contextmanager
def serving(*options: str, descriptors: int | None = None) -> Iterator[Host]:
    host = Host(
        options=options, descriptors=descriptors, spaces="z=http://127.0.0.1:1", extra_host="http://127.0.0.1:1"
    )
    try:
        yield host
    finally:
        host.end()


def connect(host: Host, said: bytes = b"") -> socket.socket:
    url = httpx.URL(host.url)
    connection = socket.create_connection((url.host, url.port), timeout=60)
    with contextlib.suppress(OSError):
        connection.sendall(said)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """True once the other side has closed; what it has said is read."""
    connection.settimeout(0)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_well(host: Host) -> bool:
    return httpx.get(f"{host.url}/healthz", timeout=60).status_code == 200


def memory(host: Host) -> float:
    """Megabytes that the host's process has in memory."""
    status = Path(f"/proc/{host.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def test_more_connections_than_descriptors_shut_nobody_out() -> None:
    with serving("--idle-timeout", str(IDLE), descriptors=256) as host:
        for what, said in SILENT.items():
            connections = [connect(host, said) for _ in range(300)]
            assert is_well(host), what
            took = wait_until(lambda: all(is_closed(one) for one in connections), what)  # noqa: B023
            print(f"\n300 connections that say {what}, 256 descriptors: all closed after {took:.1f} s")
            assert is_well(host), what
            for connection in connections:
                connection.close()


def test_a_head_that_drips_is_not_waited_for() -> None:
    with serving("--idle-timeout", str(IDLE)) as host:
        head = b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 1000
        for said in [b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"]:
            connection = connect(host, said)
            begun, sent = time.monotonic(), 0
            while not is_closed(connection) and time.monotonic() - begun < 60:
                with contextlib.suppress(OSError):
                    connection.send(head[sent : sent + 1])
                sent += 1
                time.sleep(0.2)
            print(f"\na head that comes in bytes, after {len(said)} bytes of another: {time.monotonic() - begun:.1f} s")
            assert sent < 100
            connection.close()


def test_many_halves_of_heads_take_little_memory() -> None:
    with serving() as host:
        assert is_well(host)
        before = memory(host)
        connections = [connect(host, SILENT["half a head"] + b"y" * 1000) for _ in range(2000)]
        assert is_well(host)
        taken = memory(host) - before
        print(f"\n2000 halves of heads: {taken:.0f} MB")
        assert taken < 64
        for connection in connections:
            connection.close()


def flood(host: Host, what: str, piece: bytes, count: int, *, reads: bool) -> None:
    """Sends a piece again and again, until the host closes the connection or takes no more."""
    before = memory(host)
    connection = connect(host, PREFACE + frame(SETTINGS, 0, 0, b""))
    connection.settimeout(1)
    sent = 0
    try:
        for _ in range(count):
            connection.sendall(piece)
            sent += 1
            if reads:
                with contextlib.suppress(BlockingIOError):
                    connection.recv(1 << 16, socket.MSG_DONTWAIT)
        end = "goes on"
    except TimeoutError:
        end = "takes no more"
    except OSError:
        end = "closed"
    assert is_well(host), what
    taken = memory(host) - before
    print(f"\n{what}: {end} after {sent} of {count} pieces, {taken:.0f} MB")
    assert taken < 64, what
    connection.close()


def test_floods_of_frames_are_stopped() -> None:
    with serving() as host:
        assert is_well(host)
        resets = b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, stream, GET) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
            for stream in range(1, 40_001, 2)
        )
        flood(host, "streams that are reset at once", resets, 1, reads=False)
        flood(host, "settings", frame(SETTINGS, 0, 0, b"\0\3\0\0\0\1") * 1000, 300, reads=False)
        flood(host, "settings, and their receipts are read", frame(SETTINGS, 0, 0, b"") * 1000, 100, reads=True)
        flood(host, "pings", frame(PING, 0, 0, bytes(8)) * 1000, 1000, reads=False)
        flood(host, "empty pieces of a body", frame(DATA, 0, 1, b"") * 1000, 100, reads=False)
        with_end = frame(HEADERS, END_STREAM, 1, GET)
        header = b"\x00\x01x\x7f\x81\x7e" + b"y" * 16_000
        connection = connect(host, PREFACE + frame(SETTINGS, 0, 0, b"") + with_end)
        before, sent = memory(host), 0
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                connection.sendall(frame(CONTINUATION, 0, 1, header))
                sent += 1
        print(f"\na head that goes on: closed after {sent} of 10000 frames, {memory(host) - before:.0f} MB")
        assert sent < 10_000 and is_well(host) and memory(host) - before < 64
        connection.close()
