"""A short soak; `cargo xtask soak` is the long one."""

from __future__ import annotations

import asyncio
import random

import pytest
from soak import Plan, Soak

pytestmark = [pytest.mark.busy, pytest.mark.timed, pytest.mark.timeout(300)]

REQUESTS, MINUTES = 2000, 0.75


def test_nothing_is_left_after_many_requests() -> None:
    soak = Soak(Plan(REQUESTS, MINUTES, random.SystemRandom().getrandbits(32)))
    asyncio.run(soak.run())
    assert soak.report(), soak.wrong[:10]
