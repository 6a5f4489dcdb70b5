"""A PostgreSQL server of the tests' own, which can be hung and killed, and a gate in front of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from app import free_port

# PostgreSQL doesn't run as root. Where the tests do, it runs as `nobody`.
NOBODY = 65534
PASSWORD = "open-sesame-0123456789abcdef"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "fsync": "off",
    "full_page_writes": "off",
    # Its compiler of queries may not be there.
    "jit": "off",
}


def programs() -> Path:
    """Folder of the server's programs: the one in POSTGRES_BIN, one in PATH, or Debian's newest."""
    if named := os.environ.get("POSTGRES_BIN"):
        return Path(named)
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    initdb = shutil.which("initdb")
    folders = [Path(initdb).parent] if initdb else debian
    assert folders, "there is no PostgreSQL server; `cargo xtask setup` gets one, and POSTGRES_BIN names its programs"
    return folders[0]


def _state(process: int) -> tuple[str, int]:
    """The letter of a process's state, X for one that is gone, and its parent."""
    try:
        state, parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "X", 0
    return state, int(parent)


class Postgres:
    """A PostgreSQL server on a free port of loopback, until ``stop``. What is committed outlives ``restart``."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"postgres://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        # The entry of allowed_outbound_hosts that lets a component reach it.
        self.host = f"postgres://127.0.0.1:{self.port}"
        self.log: list[str] = []
        self._user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self._folder = tempfile.TemporaryDirectory(prefix="z-image-postgres-", ignore_cleanup_errors=True)
        self._programs = programs()
        self._data = Path(self._folder.name) / "data"
        password = Path(self._folder.name) / "password"
        password.write_text(PASSWORD)
        if self._user:
            os.chown(self._folder.name, NOBODY, NOBODY)
        command = [self._programs / "initdb", "--pgdata", self._data, "--username=postgres", "--pwfile", password]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(command, cwd=self._folder.name, capture_output=True, text=True, **self._user)
        assert made.returncode == 0, made.stderr
        self._start()

    def _start(self) -> None:
        command = [self._programs / "postgres", "-D", self._data, "-p", str(self.port)]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=self._folder.name, **options, **self._user)
        for line in self.process.stderr:
            self.log.append(line)
            if "ready to accept connections" in line:
                break
        else:
            raise AssertionError(f"PostgreSQL ended before it was ready: {''.join(self.log)}")
        # What it says later is kept too.
        threading.Thread(target=self.log.extend, args=[self.process.stderr], daemon=True).start()

    def _processes(self) -> list[int]:
        """The server's own process, and one for each connection and task."""
        numbers = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
        return [self.process.pid, *(number for number in numbers if _state(number)[1] == self.process.pid)]

    def _signal(self, number: signal.Signals, processes: list[int]) -> None:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def kill(self) -> None:
        """Ends it as a machine's loss of power would: connections are cut, what isn't committed is lost."""
        # Stopped first, so that none starts another or takes leave of its client when the first has ended.
        self.pause()
        processes = self._processes()
        self._signal(signal.SIGKILL, processes)
        self.process.wait(20)
        # Until the last has let go of the shared memory, a new server would refuse to start.
        while any(_state(process)[0] not in "ZX" for process in processes[1:]):
            time.sleep(0.01)

    def restart(self) -> None:
        """Ends it if it still runs, with its connections, and starts it again at the same port with the same data."""
        if self.process.poll() is None:
            self._end()
        self._start()

    def pause(self) -> None:
        """Hangs it: connections stay open and are even accepted, and nothing answers, until ``resume``."""
        os.kill(self.process.pid, signal.SIGSTOP)
        # It may go on for a moment on another processor, and answer whoever comes then.
        while _state(self.process.pid)[0] != "T":
            time.sleep(0.01)
        self._signal(signal.SIGSTOP, self._processes()[1:])

    def resume(self) -> None:
        self._signal(signal.SIGCONT, self._processes())

    def set(self, name: str, value: str) -> None:
        """Has new sessions begin with that setting."""
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"\n{name} = {value}\n")
        self.process.send_signal(signal.SIGHUP)

    def _end(self) -> None:
        self.resume()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)

    def stop(self) -> None:
        """Ends it for good."""
        if self.process.poll() is None:
            self._end()
        self._folder.cleanup()


class Gate:
    """A port of loopback that leads to another one, until ``hang`` or ``refuse``; ``open`` opens it again."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._target = port
        self._flows = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        while self._listener is None:
            # Somebody else may have found the same port free.
            try:
                self.open()
            except OSError:
                self.port = free_port()

    def url(self, url: str) -> str:
        """That URL, through the gate."""
        return re.sub(rf":{self._target}\b", f":{self.port}", url)

    def open(self) -> None:
        """Lets bytes through, those that a hang has held back first."""
        self._flows.set()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def hang(self) -> None:
        """Keeps connections and accepts new ones, and lets no byte through."""
        self._flows.clear()

    def cut(self) -> None:
        """Breaks the connections that there are."""
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Breaks the connections that there are, and refuses new ones."""
        if self._listener is not None:
            # Closing alone would not wake the thread that accepts.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()
        self._flows.set()

    def stop(self) -> None:
        self.refuse()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=[client], daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        self._sockets.add(client)
        with client:
            try:
                self._flows.wait()
                with socket.create_connection(("127.0.0.1", self._target)) as server:
                    self._sockets.add(server)
                    back = threading.Thread(target=self._pump, args=[server, client], daemon=True)
                    back.start()
                    self._pump(client, server)
                    back.join()
                    self._sockets.discard(server)
            except OSError:
                pass
        self._sockets.discard(client)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                self._flows.wait()
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # Either end has broken off, and so does the other.
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
