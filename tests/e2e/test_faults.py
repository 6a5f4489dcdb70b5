"""The fault matrix: every fault at every surface of a Space, and what a client gets then; docs/faults.md is its table.

With FAULTS=write in the environment, that table is written anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cells import IMAGE, Cell, right
from faults_database import CELLS as DATABASES
from faults_table import document
from host import KEY, is_clean
from matrix import ALLOWANCE, CELLS, JOB, WEBHOOKS, Matrix, can_be_cancelled, retried

pytestmark = [pytest.mark.timed, pytest.mark.timeout(500)]

GROWTH = 1 << 30
"""Memory that the host may take for all of it at once, in bytes: a few instances of 256 MB each."""
DOCUMENT = Path(__file__).parents[2] / "docs/faults.md"


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    matrix = Matrix()
    slowest = max(matrix.outcomes.items(), key=lambda item: item[1].longest)
    print(
        f"\n{len(CELLS)} cells in {matrix.seconds:.1f} s, the slowest {slowest[1].longest:.1f} s ({slowest[0]});"
        f" /healthz {matrix.health.summary()}; memory {matrix.memory.summary()}"
    )
    return matrix


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.surface}: {cell.title}")
def test_a_fault_has_its_right_answer(matrix: Matrix, cell: Cell) -> None:
    outcome, wanted = matrix.outcomes[cell], right(cell)
    messages = (outcome.message, outcome.pool_message)
    assert (outcome.alone, outcome.pool) == (wanted.alone, wanted.pool), messages
    if wanted.alone != IMAGE:
        assert outcome.retry == wanted.retry
        # A rejection is in the Space's own words.
        assert "Space" in outcome.message or wanted.alone.startswith("400"), outcome.message
    assert outcome.longest < JOB + ALLOWANCE
    assert outcome.elsewhere == 0, "a redirect was followed"
    if can_be_cancelled(cell):
        assert not outcome.left, "jobs are left at the Space"


@pytest.mark.parametrize("fault", WEBHOOKS)
def test_a_webhook_is_told_again_until_it_is_taken(matrix: Matrix, fault: str) -> None:
    assert matrix.webhooks[fault] == f"taken at call {2 if retried(fault) else 1}"


@pytest.mark.parametrize("cell", DATABASES)
def test_a_database_that_fails_costs_no_image(matrix: Matrix, cell: str) -> None:
    outcome = matrix.databases[cell]
    assert (outcome.image, outcome.task) == (IMAGE, "503 store_unavailable"), outcome.log
    assert outcome.after == ("202" if cell.startswith("PostgreSQL") else "")
    assert outcome.is_clean(), outcome.log


def test_nobody_else_is_hurt(matrix: Matrix) -> None:
    assert matrix.status == 0
    assert is_clean(matrix.log), matrix.log[-5000:]
    assert KEY not in matrix.log
    assert matrix.memory.growth() < GROWTH, matrix.memory.summary()
    assert matrix.health.percentile(99) < 0.5, matrix.health.summary()


def test_the_table_is_what_was_seen(matrix: Matrix) -> None:
    written = document(matrix)
    if os.environ.get("FAULTS") == "write":
        DOCUMENT.write_text(written)
    assert DOCUMENT.read_text() == written, "docs/faults.md is another; FAULTS=write writes it anew"
