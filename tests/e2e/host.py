"""Starting the built application in the bundled host."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from database import Postgres
from PIL import Image

import openai

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
KEY = "sk-end-to-end-0123456789abcdef"


def is_clean(log: str) -> bool:
    """True for a host's log in which no instance has failed."""
    return "panicked" not in log and "an instance failed" not in log


class Host:
    """The application, serving on a free port of loopback until ``stop``.

    Its database is a file in a folder of its own, or in the one that it is given, which outlives it. `options` are
    the program's, and `descriptors` is the number of files and sockets that it may have open. The program and the
    manifest are those that were built here, unless it is told others.
    """

    def __init__(
        self,
        state: Path | None = None,
        options: Sequence[str] = (),
        descriptors: int | None = None,
        program: Path = TARGET / "release/z-image-host",
        manifest: Path = ROOT / "spin.toml",
        **variables: str | int,
    ) -> None:
        # Without a pause between a request's images, which few tests are about.
        settings = {"api_keys": KEY, "stagger_ms": "0"} | {name: str(value) for name, value in variables.items()}
        self._own_state = None if state else tempfile.TemporaryDirectory(prefix="z-image-e2e-")
        self.state = state or Path(self._own_state.name)
        command = [program, "--manifest", manifest]
        command += ["--listen", "127.0.0.1:0", "--state-dir", self.state, *options]
        if descriptors is not None:
            command = ["prlimit", f"--nofile={descriptors}:{descriptors}", *command]
        for name, value in settings.items():
            command += ["--variable", f"{name}={value}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        line = self.process.stdout.readline()
        assert line.startswith("Serving http://"), f"{line!r}\n{''.join(self.log)}"
        self.url = line.removeprefix("Serving ").strip()

    def _read_log(self) -> None:
        self.log.extend(self.process.stderr)

    def kill(self) -> None:
        """Ends it as a machine's loss of power would."""
        self.process.kill()
        self.process.wait(60)
        self._end()

    def end(self) -> str:
        """Stops it and returns its log: it ends well, no instance has failed, and the key isn't in the log."""
        status = self.stop()
        log = "".join(self.log)
        assert status == 0, log
        assert is_clean(log) and KEY not in log, log
        return log

    def stop(self) -> int:
        """Asks it to stop and waits until it has."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._end()
        return status

    def _end(self) -> None:
        self._reader.join(5)
        if self._own_state:
            self._own_state.cleanup()


class Hosts:
    """Several hosts before one PostgreSQL server, or one before a SQLite file.

    One that is killed comes back, elsewhere.
    """

    def __init__(self, count: int, postgres: Postgres | None, **variables: str | int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="z-image-e2e-")
        assert postgres or count == 1, "a SQLite file is for one host"
        if postgres:
            variables |= {"database": "postgres", "database_url": postgres.url, "database_host": postgres.host}
        state = None if postgres else Path(self._folder.name)
        self._start = lambda: Host(state=state, **variables)
        self.log: list[str] = []
        self.running = [self._start() for _ in range(count)]

    def kill(self, which: int) -> None:
        """Ends one as a machine's loss of power would, and starts it again."""
        victim = self.running[which]
        victim.kill()
        self.log += victim.log
        self.running[which] = self._start()

    def stop(self) -> None:
        """Stops all, none of which may have failed."""
        statuses: list[int] = []
        for host in self.running:
            try:
                statuses.append(host.stop())
            except subprocess.TimeoutExpired:
                statuses.append(-1)
        for host in self.running:
            self.log += host.log
        self._folder.cleanup()
        log = "".join(self.log)
        assert statuses == [0] * len(self.running), log
        assert is_clean(log) and KEY not in log, log


class Space:
    """The test Space, a real Gradio server, on a free port of loopback until ``stop``."""

    def __init__(self, python: str, *arguments: str) -> None:
        command = [python, ROOT / "tests/space/app.py", "--faults", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("Space at "):
                self.url = line.removeprefix("Space at ").strip()
                return
        raise AssertionError("the Space ended before it was ready")

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.process.kill()
        self.process.wait(20)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()


class Shapes:
    """The test Spaces of all shapes on one generation of Gradio, and the application in front of them."""

    def __init__(self, python: str) -> None:
        command = [python, ROOT / "tests/space/shapes.py"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(python).parent)
        line = next(line for line in self.process.stdout if line.startswith("Spaces at "))
        self.urls: dict[str, str] = json.loads(line.removeprefix("Spaces at "))
        spaces = ",".join(f"{name}={url}" for name, url in self.urls.items())
        self.host = Host(spaces=spaces, extra_host="http://127.0.0.1:*")
        self.client = openai.OpenAI(base_url=f"{self.host.url}/v1", api_key=KEY, max_retries=0)

    def stop(self) -> None:
        try:
            self.host.end()
        finally:
            self.process.kill()
            self.process.wait(20)

    def make(self, model: str, **fields) -> tuple[list[Image.Image], object]:
        """Images made by the SDK: OpenAI's parameters as they are, the others in ``extra_body``."""
        own = {name: fields.pop(name) for name in ("n", "size", "quality") if name in fields}
        answer = self.client.images.generate(model=model, prompt="a red fox", **own, extra_body=fields)
        return [Image.open(io.BytesIO(base64.b64decode(item.b64_json))) for item in answer.data], answer
