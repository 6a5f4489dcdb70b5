"""Measuring of a host from outside while something else goes on: its memory, and how soon it answers."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from pathlib import Path

from wire import address


def resident(process: int) -> int:
    """Memory of a process, in bytes; 0 for one that is gone."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def descriptors(process: int) -> int:
    """Number of open descriptors of a process."""
    return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())


class Watch:
    """Something that is done again and again beside, until ``stop``."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def look(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        while not self._is_over.wait(self._pause):
            self.look()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(60)


class MemoryWatch(Watch):
    """Memory of a process."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.seen = [(time.monotonic(), resident(process))]
        super().__init__(0.1)

    def look(self) -> None:
        self.seen.append((time.monotonic(), resident(self.process)))

    def growth(self) -> int:
        return max(size for _, size in self.seen) - self.seen[0][1]

    def summary(self) -> str:
        first, most, last = self.seen[0][1], max(size for _, size in self.seen), self.seen[-1][1]
        return f"{first >> 20} MB at first, {most >> 20} MB at most, {last >> 20} MB at last"


class HealthWatch:
    """Durations of calls of ``/healthz``, in seconds, by a process of its own, which others don't keep waiting."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, __file__, url]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.took: list[float] = []

    def stop(self) -> None:
        said, _ = self._process.communicate("", timeout=60)
        self.took = [float(line) for line in said.splitlines()]
        assert self._process.returncode == 0 and self.took

    def percentile(self, percent: float) -> float:
        took = sorted(self.took)
        return took[min(len(took) - 1, int(len(took) * percent / 100))]

    def summary(self) -> str:
        middle, rare = (1000 * self.percentile(percent) for percent in (50, 99))
        return f"p50 {middle:.1f} ms, p99 {rare:.1f} ms, worst {1000 * max(self.took):.1f} ms of {len(self.took)}"


def ask_health(url: str) -> None:
    """Asks twenty times a second until the input ends, and writes down how long each answer took."""
    is_over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    took = []
    # Once at least, also where it begins when all is over.
    while not took or not is_over.wait(0.05):
        begun = time.monotonic()
        connection = http.client.HTTPConnection(*address(url), timeout=30)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        took.append(time.monotonic() - begun)
    print(*took, sep="\n")


if __name__ == "__main__":
    ask_health(sys.argv[1])
