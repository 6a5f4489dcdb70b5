"""The table of the fault matrix, as docs/faults.md has it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from matrix import Matrix

WIDTH = 120
INTRODUCTION = """
# Faults, and what clients get then

A fault matrix: every surface of a Space that is called, the receiver of webhooks and the database, each with every
fault that it can have. `tests/e2e/test_faults.py` runs all of it against the built component in the bundled host, holds
each answer against what is right (`tests/e2e/cells.py`), and holds this file against what it has seen; with
`FAULTS=write` in the environment it writes it.

Each cell has servers of its own with one fault, and is called twice: as a model with that Space alone, and as a model
with another Space beside it that has no fault. What must hold in all of them: the answer comes within the limits
`idle_timeout` and `job_timeout`; no job is left at a Space that can still be called; no redirect is followed; the
host's memory stays bounded and `/healthz` quick; no instance ends.

| column | meaning |
|---|---|
| fault | Faults that come to the same: see `tests/e2e/faults.py` for what each is. |
| alone | Answer of a model with this Space only: status and code of the error, or the image. |
| another try | Advice that comes with the error: `x-should-retry`, and `Retry-After` where there is one. |
| in a pool | Answer of a model with another Space too. |
| jobs | Jobs of the first call at the Space. All of them are ended or cancelled, but where the Space is gone. |
"""

SURFACES = {
    "config": "`GET /config`, the Space's functions and components",
    "info": "`GET /info`, the names of parameters",
    "upload": "`POST /upload`, the images of an edit",
    "join": "`POST /queue/join`, a job",
    "data": "`GET /queue/data`, the events of a job",
    "file": "`GET /file=…`, an image that is made",
    "cancel": "`POST /cancel` of a job that has stalled, and the next call",
}


def folded(titles: Iterable[str]) -> str:
    """Faults in one cell, with the numbers of messages as ranges."""
    single, numbered = [], {}
    for title in titles:
        name, _, number = title.rpartition(" after message ")
        if name:
            numbered.setdefault(name, []).append(int(number))
        else:
            single.append(title)
    for name, numbers in numbered.items():
        first, last = numbers[0], numbers[-1]
        assert numbers == list(range(first, last + 1)), title
        single.append(f"{name} after message {first}" + (f" to {last}" if last > first else ""))
    return ", ".join(single)


def rows(matrix: Matrix, surface: str) -> list[str]:
    """Rows of a surface: a row for all that come to the same."""
    groups: dict[tuple[str, str, str, int], list[str]] = {}
    for cell in (cell for cell in matrix.outcomes if cell.surface == surface):
        outcome = matrix.outcomes[cell]
        groups.setdefault((outcome.alone, outcome.retry, outcome.pool, outcome.jobs), []).append(cell.title)
    lines = []
    for (alone, retry, pool, jobs), titles in groups.items():
        advice = "" if alone == "image" else retry
        lines.append(f"| {folded(titles)} | {alone} | {advice} | {pool} | {jobs} |")
    return lines


def document(matrix: Matrix) -> str:
    """The whole file."""
    parts = [INTRODUCTION.strip()]
    for surface, title in SURFACES.items():
        head = ["| fault | alone | another try | in a pool | jobs |", "|---|---|---|---|---|"]
        parts.append(f"## {title}\n\n" + "\n".join([*head, *rows(matrix, surface)]))
    groups: dict[str, list[str]] = {}
    for fault, outcome in matrix.webhooks.items():
        groups.setdefault(outcome, []).append(fault)
    lines = ["| fault of the first call | message |", "|---|---|"]
    lines += [f"| {folded(faults)} | {outcome} |" for outcome, faults in groups.items()]
    parts.append("## Receiver of webhooks\n\n" + "\n".join(lines))
    lines = ["| fault | generation | task | task afterwards |", "|---|---|---|---|"]
    lines += [f"| {cell} | {one.image} | {one.task} | {one.after} |" for cell, one in matrix.databases.items()]
    parts.append("## Database\n\n" + "\n".join(lines) + "\n\n" + DATABASES)
    return "\n\n".join(parts) + "\n"


DATABASES = textwrap.fill(
    "A SQLite file that is locked, read-only or on a full disk, and a PostgreSQL server that takes no writes, is "
    "paused, killed or restarted: see `tests/e2e/test_database_trouble.py`, which measures calls meanwhile.",
    WIDTH,
)
