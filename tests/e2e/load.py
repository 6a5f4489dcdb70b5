"""Runs a command while every processor is kept busy, and ends with its status.

python load.py COMMAND…
"""

from __future__ import annotations

import os
import subprocess
import sys

BUSY = "while True: pass"


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        return subprocess.run(sys.argv[1:]).returncode
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()


if __name__ == "__main__":
    sys.exit(main())
