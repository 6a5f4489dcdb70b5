"""Tools of the tests of databases: the server that hangs and dies on purpose, and the gate in front of it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from database import Gate, Postgres

# PostgreSQL's SSLRequest, which a server without TLS answers with one letter.
REQUEST = struct.pack("!ii", 8, 80877103)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


def ask(port: int, timeout: float = 30) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(REQUEST)
        return connection.recv(1)


def test_the_server_hangs_and_dies_and_comes_back(postgres: Postgres) -> None:
    assert ask(postgres.port) == b"N"
    postgres.pause()
    with pytest.raises(TimeoutError):
        ask(postgres.port, timeout=0.5)
    postgres.resume()
    assert ask(postgres.port) == b"N"
    with socket.create_connection(("127.0.0.1", postgres.port), timeout=30) as connection:
        connection.sendall(REQUEST)
        assert connection.recv(1) == b"N"
        postgres.kill()
        assert connection.recv(1) == b"", "a killed server keeps no connection"
    with pytest.raises(ConnectionRefusedError):
        ask(postgres.port)
    postgres.restart()
    assert ask(postgres.port) == b"N"
    postgres.restart()
    assert ask(postgres.port) == b"N"


def test_the_gate_hangs_and_refuses_and_opens_again(postgres: Postgres) -> None:
    gate = Gate(postgres.port)
    assert gate.url(postgres.url) == postgres.url.replace(f":{postgres.port}/", f":{gate.port}/")
    assert ask(gate.port) == b"N"
    with socket.create_connection(("127.0.0.1", gate.port), timeout=30) as connection:
        gate.hang()
        with pytest.raises(TimeoutError):
            ask(gate.port, timeout=0.5)
        connection.sendall(REQUEST)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        gate.open()
        connection.settimeout(30)
        assert connection.recv(1) == b"N", "what was held back goes on"
        gate.cut()
        assert connection.recv(1) == b""
    gate.refuse()
    with pytest.raises(ConnectionRefusedError):
        ask(gate.port)
    gate.open()
    assert ask(gate.port) == b"N"
    gate.stop()
