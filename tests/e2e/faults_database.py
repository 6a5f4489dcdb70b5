"""Faults of the database, and what clients get meanwhile."""

from __future__ import annotations

import contextlib
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
from database import Gate, Postgres
from host import KEY, Host, is_clean

LIMIT = 60
"""Longest wait for a change to be seen, in seconds."""
FILE = "sqlite_db.db"


class FaultyGate(Gate):
    """A gate whose server can be made to speak otherwise than PostgreSQL."""

    speech = ""

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if source.getpeername()[1] == self._target:
                self._pump_back(source, sink)
                return
        super()._pump(source, sink)

    def _pump_back(self, source: socket.socket, sink: socket.socket) -> None:
        while piece := source.recv(65536):
            self._flows.wait()
            match self.speech:
                case "":
                    sink.sendall(piece)
                case "garbage":
                    sink.sendall(bytes(range(255, -1, -1)) * 16)
                case "length too long":
                    sink.sendall(piece[:1] + struct.pack("!i", 0x7FFFFFFF) + piece[5:])
                case "length too short":
                    sink.sendall(piece[:1] + struct.pack("!i", 1) + piece[5:])
                case "cut inside":
                    sink.sendall(piece[: len(piece) // 2])
                    break
                case "reset":
                    sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
        for one in (source, sink):
            if self.speech == "reset":
                one.close()
            else:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


def speaks(how: str) -> Callable[[FaultyGate], None]:
    def begin(gate: FaultyGate) -> None:
        gate.speech = how

    return begin


POSTGRES: dict[str, Callable[[FaultyGate], None]] = {
    "refused": Gate.refuse,
    "hangs": Gate.hang,
    **{how: speaks(how) for how in ["reset", "garbage", "length too long", "length too short", "cut inside"]},
}
SQLITE = ["not a database"]
CELLS = [f"PostgreSQL: {fault}" for fault in POSTGRES] + [f"SQLite: {fault}" for fault in SQLITE]


@dataclass
class DatabaseOutcome:
    """Answers that clients got."""

    image: str = ""
    """Answer to a generation meanwhile."""
    task: str = ""
    """Answer to a task's submission, once the fault is seen."""
    after: str = ""
    """Answer to a task's submission afterwards."""
    log: str = ""

    def is_clean(self) -> bool:
        return is_clean(self.log)


class Client:
    def __init__(self, host: Host) -> None:
        self.http = httpx.Client(base_url=host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60)

    def said(self, **fields: object) -> str:
        answer = self.http.post("/v1/images/generations", json={"prompt": "a red fox"} | fields)
        body = answer.json()
        if answer.status_code == 200:
            return "image"
        return f"{answer.status_code} {body['error']['code']}" if "error" in body else str(answer.status_code)

    def submits(self, wanted: str) -> str:
        """The answer to a task's submission, once it is that one or the wait is over."""
        until = time.monotonic() + LIMIT
        while (said := self.said(**{"async": True})) != wanted and time.monotonic() < until:
            time.sleep(0.2)
        return said


def run(cell: str, space: str, postgres: Postgres) -> DatabaseOutcome:
    """Has that fault begin and end."""
    engine, fault = cell.split(": ")
    outcome = DatabaseOutcome()
    with contextlib.ExitStack() as stack:
        # The hosts share the database, and so the slots of the Space. One whose database is gone keeps its slot until
        # the lease ends, so there are enough for all.
        catalog = f'[models.good]\nspaces = [{{ space = "{space}", slots = 64 }}]'
        variables: dict[str, object] = {"catalog": catalog, "extra_host": space, "history": "off"}
        gate = None
        if engine == "PostgreSQL":
            gate = FaultyGate(postgres.port)
            stack.callback(gate.stop)
            urls = {"database_url": gate.url(postgres.url), "database_host": gate.url(postgres.host)}
            variables |= {"database": "postgres"} | urls
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="z-image-faults-")))
            (folder / FILE).write_bytes(b"This is no database. " * 1000)
            variables["state"] = folder
        host = Host(**variables)
        try:
            client = Client(host)
            if gate:
                assert client.said() == "image" and client.submits("202") == "202", "".join(host.log)
                POSTGRES[fault](gate)
            images = {client.said()}
            outcome.task = client.submits("503 store_unavailable")
            images.add(client.said())
            outcome.image = ", ".join(sorted(images))
            if gate:
                gate.speech = ""
                gate.open()
                outcome.after = client.submits("202")
        finally:
            # To stop would wait for the tasks that were taken.
            host.kill()
            outcome.log = "".join(host.log)
    return outcome


def run_all(space: str) -> dict[str, DatabaseOutcome]:
    """All of them, at once: each has a host of its own."""
    postgres = Postgres()
    try:
        with ThreadPoolExecutor(len(CELLS)) as pool:
            return dict(zip(CELLS, pool.map(lambda cell: run(cell, space, postgres), CELLS), strict=True))
    finally:
        postgres.stop()
