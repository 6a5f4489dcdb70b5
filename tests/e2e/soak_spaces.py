"""Spaces of the soak: healthy, slow, and with faults at random."""

from __future__ import annotations

import asyncio
import json
import random

from faults import FAULTS, FILE_FAULTS, HEARTBEATS, JOIN_FAULTS, STREAMS
from faulty import FaultySpace
from wire import Head

HEAVY = (
    "too large",
    "many values",
    "gzip bomb",
    "huge line",
    "lines without end",
    "event of many values",
    "huge header",
)
"""Faults of many bytes, which are seldom."""
SLOW = ("slow head", "stalled body", "dripping body", HEARTBEATS)
"""Faults that hold a slot until a time limit, which are seldom too."""
UNUSED = ("429 for 120 s", "503 for 120 s", "GPU quota")
"""Faults after which a Space is let alone for minutes, and the soak would have nothing to do."""


class RandomSpace(FaultySpace):
    """A Space that has each of its calls go wrong with some chance, and is down for a moment now and then."""

    def __init__(self, chance: random.Random, rate: float, **options: float) -> None:
        super().__init__(**options)
        self._chance, self.rate = chance, rate
        of_all = [name for name in FAULTS if name not in UNUSED]
        self._faults = {
            "join": [*of_all, *JOIN_FAULTS],
            "data": [*of_all, *(name for name in STREAMS if name not in UNUSED), HEARTBEATS],
            "data-more": [f"cut of image after message {number}" for number in range(5)],
            "file": [*of_all, *FILE_FAULTS],
        }
        self._of_all = of_all
        self.restarts = 0
        self.faults = 0

    def _fault(self, surface: str) -> str:
        if self._chance.random() >= self.rate:
            return ""
        of_this = self._faults.get(surface, self._of_all)
        if surface == "data" and self._chance.random() < 0.5:
            of_this = self._faults["data-more"]
        fault = self._chance.choice(of_this)
        if fault in HEAVY + SLOW and self._chance.random() > 0.2:
            fault = "reset"
        self.faults += 1
        return fault

    async def _answer(
        self, head: Head, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # A cancellation counts, whatever becomes of it.
        if head.line[1].endswith("/cancel"):
            self.over.add(json.loads(body)["session_hash"])
        await super()._answer(head, body, reader, writer)

    async def restart(self, seconds: float) -> None:
        """Is down for that time, and knows nothing of its jobs then."""
        self.restarts += 1
        self.refuse()
        self._hang_up()
        self.joined.clear()
        self.over.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            # At the soak's end too, which asks each Space for an image.
            await self.start()
