"""Waiting for what a test wants to see, with a limit that a busy machine keeps."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT = 60.0
"""Longest wait, in seconds. Nothing is meant to take this long; it only ends a test that would never end."""


def wait_until(holds: Callable[[], object], what: str = "", limit: float = LIMIT, pause: float = 0.05) -> float:
    """Seconds until `holds` was true for the first time; `what` is the failure's message."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < limit, what or "what the test waits for has not come"
        time.sleep(pause)
    return time.monotonic() - begun
