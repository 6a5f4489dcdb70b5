"""A database that hangs, fails, takes no writes or is full: generations go on, tasks are refused, and it passes."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from database import Gate, Postgres
from host import KEY, Host, Space
from waiting import wait_until

pytestmark = [pytest.mark.timed, pytest.mark.timeout(300)]

CALLS = 7
"""Number of generations whose median is held against that of others."""
RATIO, ALLOWANCE = 2, 0.5
"""Allowed increase of a median, as a factor and in seconds: a statement that were waited for adds a second or more.

How much it really is, the bench measures.
"""
FILE = "sqlite_db.db"


@pytest.fixture(scope="module")
def drawing() -> Iterator[Space]:
    space = Space(sys.executable, "--step-seconds", "0.2")
    yield space
    space.stop()


class Service:
    """A host, and what is asked of it."""

    def __init__(self, space: Space, **options) -> None:
        self.is_stopped = False
        self.newcomers: list[Service] = []
        self._options = {"space": space} | options
        self.host = Host(spaces=f"z-image-turbo={space.url}", extra_host=space.url, **options)
        self.client = httpx.Client(base_url=self.host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60)

    def start(self) -> Service:
        """Another host of the same options, which ends with this one at the latest."""
        self.newcomers.append(Service(**self._options))
        return self.newcomers[-1]

    def make(self) -> float:
        """Duration of a generation, in seconds."""
        begun = time.monotonic()
        answer = self.client.post("/v1/images/generations", json={"prompt": "a red fox", "size": "256x256", "steps": 1})
        assert answer.status_code == 200, answer.text
        return time.monotonic() - begun

    def median(self) -> float:
        return statistics.median(self.make() for _ in range(CALLS))

    def submit(self) -> httpx.Response:
        return self.client.post(
            "/v1/images/generations", json={"prompt": "a task", "size": "256x256", "steps": 1, "async": True}
        )

    def is_refused(self) -> bool:
        answer = self.submit()
        assert answer.status_code in (202, 503), answer.text
        if answer.status_code == 503:
            assert answer.json()["error"]["code"] == "store_unavailable", answer.text
            assert int(answer.headers["retry-after"]) >= 1
        return answer.status_code == 503

    def warnings(self) -> int:
        return sum('"warn"' in line and "The database fails" in line for line in self.host.log)

    def stop(self) -> None:
        if self.is_stopped:
            return
        self.is_stopped = True
        for newcomer in self.newcomers:
            newcomer.stop()
        self.client.close()
        self.host.end()


def withstands(
    name: str, service: Service, begin: Callable[[], None], end: Callable[[], None], limit: float = 1
) -> None:
    """Has trouble begin and end, and looks at what the service makes of it.

    `limit` is the time that an instance that begins meanwhile gives the database, in seconds.
    """
    service.make()
    before = service.median()
    assert not service.is_refused()
    service.make()
    warned = service.warnings()
    begin()
    try:
        first = service.make()
        during = service.median()
        refused_in = wait_until(service.is_refused, "tasks are taken without a database")
        again = service.median()
        warnings = service.warnings() - warned
        newcomer = service.start()
        anew, anew_then = newcomer.make(), newcomer.median()
        assert newcomer.is_refused() and newcomer.warnings() == 1, "".join(newcomer.host.log)
    finally:
        end()
    recovered = wait_until(lambda: not service.is_refused(), "the database is back, and nobody sees it")
    recovered_anew = wait_until(lambda: not newcomer.is_refused(), "the database is back, and nobody sees it")
    newcomer.stop()
    print(
        f"\n{name}: {before:.2f} s before; {first:.2f} s at first, {during:.2f} and {again:.2f} s then; in a new"
        f" instance {anew:.2f} s at first, {anew_then:.2f} s then; tasks refused after {refused_in:.1f} s, taken again"
        f" after {recovered:.1f} s, by the new one {recovered_anew:.1f} s later; {warnings} warnings"
    )
    allowed = RATIO * before + ALLOWANCE
    assert during <= allowed and again <= allowed and anew_then <= allowed
    assert anew <= allowed + limit + 1
    assert warnings == 1, "".join(service.host.log)


@pytest.fixture
def serve(drawing: Space) -> Iterator[Callable[..., Service]]:
    """Starts hosts, and ends them whatever becomes of the test."""
    with ExitStack() as stack:

        def start(**options) -> Service:
            service = Service(drawing, **options)
            stack.callback(service.stop)
            return service

        yield start


@pytest.fixture
def behind_gate(postgres: Postgres, serve: Callable[..., Service]) -> Iterator[tuple[Service, Gate]]:
    gate = Gate(postgres.port)
    variables = {
        "database": "postgres",
        "database_url": gate.url(postgres.url),
        "database_host": gate.url(postgres.host),
    }
    service = serve(**variables)
    yield service, gate
    gate.open()
    service.stop()
    gate.stop()


@pytest.mark.parametrize("trouble", ["hang", "refuse"])
def test_postgres_behind_a_network_that_fails(trouble: str, behind_gate: tuple[Service, Gate]) -> None:
    service, gate = behind_gate
    withstands(f"PostgreSQL, network: {trouble}", service, getattr(gate, trouble), gate.open)


@pytest.mark.parametrize(("begin", "end"), [("pause", "resume"), ("kill", "restart")])
def test_postgres_that_hangs_or_dies(
    begin: str, end: str, postgres: Postgres, behind_gate: tuple[Service, Gate]
) -> None:
    service, _ = behind_gate
    withstands(f"PostgreSQL: {begin}", service, getattr(postgres, begin), getattr(postgres, end))


def test_postgres_that_takes_no_writes(postgres: Postgres, behind_gate: tuple[Service, Gate]) -> None:
    service, gate = behind_gate

    def set_read_only(value: str) -> None:
        postgres.set("default_transaction_read_only", value)
        # What reaches a session that is open comes at its next statement; none shall be between the two.
        gate.cut()

    withstands("PostgreSQL, read-only", service, lambda: set_read_only("on"), lambda: set_read_only("off"))


def test_sqlite_that_another_one_locks(serve: Callable[..., Service], tmp_path: Path) -> None:
    service = serve(state=tmp_path)
    service.make()
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None, timeout=30)

    def lock() -> None:
        other.execute("BEGIN EXCLUSIVE")

    # Reading goes on, so it is the first slot that is waited for, like every statement: for 3 s.
    withstands("SQLite, locked", service, lock, lambda: other.execute("ROLLBACK"), limit=3)
    other.close()


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system of 4 MB."""
    with tempfile.TemporaryDirectory(prefix="z-image-disk-") as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("a file system can't be mounted here, and only a small one can be filled or made read-only")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def test_sqlite_on_a_disk_that_is_full(disk: Path, serve: Callable[..., Service]) -> None:
    service = serve(state=disk)
    filler = disk / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass

    withstands("SQLite, disk full", service, fill, filler.unlink)


def test_sqlite_on_a_disk_that_takes_no_writes(disk: Path, serve: Callable[..., Service]) -> None:
    serve(state=disk).stop()
    first = serve(state=disk)
    first.make()
    first.stop()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    # An instance stays for a minute where it has history to write.
    service = serve(state=disk, history="off")
    try:
        first_call, later = service.make(), service.median()
        assert service.is_refused()
        assert service.warnings() == 1, "".join(service.host.log)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    # A connection stays as it was opened, and goes with its instance.
    time.sleep(5)
    recovered = wait_until(lambda: not service.is_refused(), "the database takes writes, and nobody sees it")
    print(f"\nSQLite, read-only: {first_call:.2f} s at first, {later:.2f} s then; taken after {recovered:.1f} s")
