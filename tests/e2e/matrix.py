"""The fault matrix as it runs: every cell against one host, each with Spaces of its own."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import faults_database
from cells import IMAGE, OTHER, Cell, cells
from faults import FAULTS
from faulty import FaultyReceiver, FaultySpace, SpaceProcess
from host import KEY, Host
from measuring import HealthWatch, MemoryWatch
from pictures import data_url, plain
from wire import Answer, Caller

IDLE, JOB = 3, 16
"""The variables idle_timeout and job_timeout, in seconds."""
AT_ONCE = 24
"""Number of calls at a time."""
OTHERS = 10
"""Number of other calls before each one that another try must save: twice as many as pay for it."""
ALLOWANCE = 15
"""Time that a call may take beyond its limits on a slow machine, in seconds."""
CELLS = cells()
PICTURE = data_url(plain("red"))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOKS = list(FAULTS)
"""Faults of a webhook's receiver."""


@dataclass
class Outcome:
    """Outcome of a cell."""

    alone: str = ""
    retry: str = ""
    pool: str = ""
    message: str = ""
    """Message of the error, where the Space is alone."""
    pool_message: str = ""
    """Message of the error, in the pool."""
    longest: float = 0
    left: list[str] = field(default_factory=list)
    """Jobs that are still at the Space."""
    elsewhere: int = 0
    """Calls that followed the Space's word to another place."""
    jobs: int = 0
    """Jobs at the Space, where it is alone."""


class Matrix:
    """All cells, run against one host."""

    def __init__(self) -> None:
        self.outcomes = {cell: Outcome() for cell in CELLS}
        self.webhooks: dict[str, str] = {}
        self.good = SpaceProcess()
        self.receiver = FaultyReceiver()
        self.log = ""
        self.seconds = 0.0
        try:
            asyncio.run(self._run())
        finally:
            self.good.stop()

    async def _run(self) -> None:
        await self.receiver.start()
        spaces: dict[Cell, tuple[FaultySpace, FaultySpace]] = {}
        lines = [f'[models.good]\nspaces = [{{ space = "{self.good.url}", slots = 64 }}]']
        for cell in CELLS:
            alone, pooled = (FaultySpace(cell.surface, cell.fault, cell.once) for _ in range(2))
            spaces[cell] = (await alone.start(), await pooled.start())
            lines.append(f'[models."{cell.name}"]\nspaces = ["{alone.url}"]\n[models."{cell.name}-pool"]\nspaces = [')
            lines.append(
                f'{{ space = "{pooled.url}", weight = 1000000 }}, {{ space = "{self.good.url}", slots = 64 }}]'
            )
        host = await asyncio.to_thread(self._start, "\n".join(lines), self.receiver.url)
        self.memory, self.health = MemoryWatch(host.process.pid), HealthWatch(host.url)
        self.caller = Caller(host.url, {"authorization": f"Bearer {KEY}"})
        begun = time.monotonic()
        try:
            room = asyncio.Semaphore(AT_ONCE)

            async def one(cell: Cell) -> None:
                async with room:
                    await self._alone(cell, spaces[cell][0])
                async with room:
                    await self._in_pool(cell, spaces[cell][1])

            webhooks = asyncio.ensure_future(self._notify())
            # The slowest first, so that the end is not their wait alone.
            slow = ("stalled", "slow", "dripping", "heart")
            order = sorted(CELLS, key=lambda cell: not cell.fault.startswith(slow) and cell.surface != "cancel")
            await asyncio.gather(*(one(cell) for cell in order))
            await self._settle(spaces)
            await webhooks
            self.seconds = time.monotonic() - begun
        finally:
            self.memory.stop()
            self.health.stop()
            self.caller.close()
            self.status = await asyncio.to_thread(host.stop)
            self.log = "".join(host.log)
        try:
            self.databases = await asyncio.to_thread(faults_database.run_all, self.good.url)
        finally:
            servers = [self.receiver, *(space for pair in spaces.values() for space in pair)]
            await asyncio.gather(*(one.stop() for one in servers))

    @staticmethod
    def _start(catalog: str, receiver: str) -> Host:
        limits = {"idle_timeout": IDLE, "job_timeout": JOB, "max_image_bytes": 2_000_000}
        webhooks = {"webhook_host": receiver, "webhook_secret": SECRET, "link_secret": "0123456789abcdef"}
        return Host(catalog=catalog, extra_host="http://127.0.0.1:*", **limits, **webhooks)

    async def _notify(self) -> None:
        """Has a task for each fault of a webhook's receiver, and waits until each is told."""
        for fault in WEBHOOKS:
            fields = {"model": "good", "prompt": "a red fox", "async": True}
            fields["webhook_url"] = self.receiver.url_of(fault)
            until = time.monotonic() + 150
            # On a machine that is very busy, the database may have no time for it at once.
            while (answer := await self.caller.ask("POST", "/v1/images/generations", fields)).status == 503:
                assert time.monotonic() < until, answer.body
                await asyncio.sleep(0.5)
            assert answer.status == 202, answer.body
        until = time.monotonic() + 90
        # A second call comes after some seconds, one to a receiver that says nothing after 15 s more.
        while time.monotonic() < until and not all(self.receiver.calls[fault] > retried(fault) for fault in WEBHOOKS):
            await asyncio.sleep(0.2)
        await asyncio.sleep(1)
        for fault in WEBHOOKS:
            self.webhooks[fault] = f"taken at call {self.receiver.calls[fault]}"

    async def _settle(self, spaces: dict[Cell, tuple[FaultySpace, FaultySpace]]) -> None:
        """Waits until the last cancellation has come, and notes what is left."""
        until = time.monotonic() + ALLOWANCE
        reached = [pair for cell, pair in spaces.items() if can_be_cancelled(cell)]
        while time.monotonic() < until and any(one.left() for pair in reached for one in pair):
            await asyncio.sleep(0.2)
        for cell, (alone, pooled) in spaces.items():
            outcome = self.outcomes[cell]
            outcome.left = alone.left() + pooled.left()
            outcome.elsewhere = alone.calls["elsewhere"] + pooled.calls["elsewhere"]
            outcome.jobs = len(alone.joined)

    async def _ask(self, cell: Cell, model: str) -> Answer:
        fields = {"model": model, "prompt": "a red fox"}
        path = "generations"
        if cell.surface == "upload":
            path, fields = "edits", fields | {"images": [{"image_url": PICTURE}]}
        begun = time.monotonic()
        answer = await self.caller.ask("POST", f"/v1/images/{path}", fields, timeout=120)
        outcome = self.outcomes[cell]
        outcome.longest = max(outcome.longest, time.monotonic() - begun)
        return answer

    async def _alone(self, cell: Cell, space: FaultySpace) -> None:
        answer = await self._ask(cell, cell.name)
        outcome = self.outcomes[cell]
        outcome.alone = self._said(answer)
        outcome.message = answer.error().get("message", "")
        outcome.retry = advice(answer)
        if cell.surface == "cancel":
            again = await self._ask(cell, cell.name)
            outcome.alone += f", then {self._said(again)}"

    async def _in_pool(self, cell: Cell, space: FaultySpace) -> None:
        # Jobs are tried again while that adds a fifth to the load at most, so there must be others.
        fields = {"model": "good", "prompt": "a red fox"}
        for _ in range(OTHERS):
            await self.caller.ask("POST", "/v1/images/generations", fields)
        answer = await self._ask(cell, f"{cell.name}-pool")
        outcome = self.outcomes[cell]
        outcome.pool, outcome.pool_message = self._said(answer), answer.error().get("message", "")

    def _said(self, answer: Answer) -> str:
        if answer.status == 200:
            return OTHER if answer.json()["data"][0]["space"] == self.good.url else IMAGE
        return f"{answer.status} {answer.error().get('code')}"


def can_be_cancelled(cell: Cell) -> bool:
    """True where the Space hears of a cancellation."""
    return cell.surface != "cancel" and cell.fault != "refused"


def advice(answer: Answer) -> str:
    """Advice on another try, as its headers have it."""
    if answer.status == 200:
        return "no"
    after = answer.headers.get("retry-after")
    if answer.headers["x-should-retry"] == "false":
        return f"{after} s, by hand" if after else "no"
    return f"{after} s" if after else "at once"


def retried(fault: str) -> bool:
    """True for a fault of a receiver that has not taken a message: only the status decides."""
    never = ("reset", "slow head", "cut head", "garbage", "huge header")
    return fault in never or fault[0].isdigit() or fault.startswith("redirect")
