"""The soak: very many requests of all kinds, to hosts whose Spaces have faults at random; nothing may be left after it.

python soak.py [--requests N] [--minutes N] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import os
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "space")]

from database import Postgres, programs  # noqa: E402
from faulty import PNG, FaultySpace  # noqa: E402
from host import Hosts  # noqa: E402
from measuring import descriptors, resident  # noqa: E402
from soak_clients import AUTHORIZED, CLIENTS, END, IMAGES, Starved, World, Wrong  # noqa: E402
from soak_spaces import RandomSpace  # noqa: E402
from wire import Caller  # noqa: E402

AT_ONCE = 40
"""Number of clients at a time."""
WARM = 0.2
"""Part of the requests after which memory is held to be warm."""
GROWTH = 1.25
MEMORY, DESCRIPTORS = 256, 64
"""Figures that a host may have at the end against those when it was warm: the factor, and MB or descriptors beside. An
instance that a large request has made large, up to 256 MB, stays so until it ends."""
MOST = 20
"""Number of wrong things that are told in full."""
SETTLING = 60
"""Longest wait for the last cancellation and task, in seconds."""


@dataclass
class Plan:
    """Size of a soak."""

    requests: int
    minutes: float
    seed: int


class Soak:
    """Hosts, Spaces and clients, and what became of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.chance = random.Random(plan.seed)
        self.begun = time.monotonic()
        self.done = 0
        self.outcomes: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.wrong: list[str] = []
        self.longest: dict[str, float] = collections.defaultdict(float)
        self.curve: list[tuple[int, list[int], list[int]]] = []
        """Number of requests so far, and the memory and the descriptors of each host."""

    def note(self, text: str) -> None:
        print(f"[{time.monotonic() - self.begun:7.1f} s] {text}", flush=True)

    async def run(self) -> None:
        self.note(f"seed {self.plan.seed}, {self.plan.requests} requests, {self.plan.minutes:g} minutes at most")
        self.sound = [FaultySpace(), FaultySpace(), FaultySpace(pause=0.005)]
        self.slow = FaultySpace(pause=0.1)
        self.large = FaultySpace()
        self.large.picture = PNG + bytes(2 << 20)
        # A draw of its own for each, so that one's calls don't change another's faults.
        self.faulty = [RandomSpace(random.Random(self.chance.random()), rate) for rate in (0.05, 0.3)]
        self.spaces = [*self.sound, self.slow, self.large, *self.faulty]
        for space in self.spaces:
            await space.start()
        postgres = Postgres() if has_postgres() else None
        try:
            hosts = await asyncio.to_thread(self._start, postgres)
            try:
                await self._soak(hosts)
                await self._settle()
                await self._count(postgres)
            finally:
                for caller in self.world.callers:
                    caller.close()
                self.logs = ["".join(host.log) for host in hosts.running]
                try:
                    await asyncio.to_thread(hosts.stop)
                except AssertionError as error:
                    self.wrong.append(f"a host did not end well: {str(error)[-500:]}")
        finally:
            if postgres:
                postgres.stop()
            await asyncio.gather(*(space.stop() for space in self.spaces))

    def _start(self, postgres: Postgres | None) -> Hosts:
        def pool(name: str, *spaces: FaultySpace) -> str:
            listed = ", ".join(f'{{ space = "{space.url}", slots = 16 }}' for space in spaces)
            return f'[models."{name}"]\nspaces = [{listed}]'

        models = {
            "sound": self.sound,
            "mixed": [self.sound[0], *self.faulty],
            "poor": self.faulty,
            "slow": [self.slow],
            "large": [self.large],
        } | {f"only-{number}": [space] for number, space in enumerate(self.spaces)}
        hosts = Hosts(
            2 if postgres else 1,
            postgres,
            catalog="\n".join(pool(name, *spaces) for name, spaces in models.items()),
            extra_host="http://127.0.0.1:*",
            idle_timeout=8,
            job_timeout=60,
            max_waiting=10_000,
            max_tasks=10_000,
            idempotency_ttl=60,
            link_secret="a-secret-that-all-hosts-know",
        )
        self.processes = [host.process.pid for host in hosts.running]
        callers = [Caller(host.url, AUTHORIZED) for host in hosts.running]
        self.world = World(callers, self.chance, logs=[host.log for host in hosts.running])
        self.note(f"{len(hosts.running)} hosts on {'PostgreSQL' if postgres else 'SQLite'}, {len(self.spaces)} Spaces")
        return hosts

    async def _soak(self, hosts: Hosts) -> None:
        for number in range(len(self.spaces)):
            # Each host knows each Space, and has a connection, before it is measured.
            for caller in self.world.callers:
                await caller.ask("POST", IMAGES, {"model": f"only-{number}", "prompt": "first"})
        self._look()
        until = time.monotonic() + 60 * self.plan.minutes
        names, weights = list(CLIENTS), [share for share, _ in CLIENTS.values()]

        async def clients() -> None:
            while self.done < self.plan.requests and time.monotonic() < until:
                self.done += 1
                await self._one(self.chance.choices(names, weights)[0])

        beside = [asyncio.ensure_future(work) for work in (self._watch(), self._restart_spaces())]
        await asyncio.gather(*(clients() for _ in range(AT_ONCE)))
        for work in beside:
            work.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        self.seconds = time.monotonic() - self.begun
        self.note(f"{self.done} requests, {self.done / self.seconds:.0f} a second")

    async def _one(self, name: str) -> None:
        begun = time.monotonic()
        try:
            outcome = await CLIENTS[name][1](self.world)
        except Wrong as wrong:
            outcome = "wrong"
            self._is_wrong(f"{name}: {wrong}")
        except Starved as starved:
            outcome = f"database starved: {starved}"
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, ValueError) as error:
            outcome = "no answer"
            self._is_wrong(f"{name}: no answer: {error!r}")
        self.outcomes[name][outcome] += 1
        self.longest[name] = max(self.longest[name], time.monotonic() - begun)

    def _is_wrong(self, what: str) -> None:
        self.wrong.append(what)
        if len(self.wrong) <= MOST:
            self.note(f"WRONG {what}")

    def _look(self) -> None:
        sizes = [resident(process) for process in self.processes]
        self.curve.append((self.done, sizes, [descriptors(process) for process in self.processes]))

    async def _watch(self) -> None:
        noted = time.monotonic()
        while True:
            await asyncio.sleep(0.5)
            self._look()
            if time.monotonic() - noted > 15:
                noted = time.monotonic()
                left = sum(len(space.left()) for space in self.spaces)
                _, sizes, opened = self.curve[-1]
                state = f"memory {[size >> 20 for size in sizes]} MB, descriptors {opened}, {left} jobs at Spaces"
                self.note(f"{self.done} requests: {state}, {len(self.wrong)} wrong")

    async def _restart_spaces(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(3, 15))
            await self.chance.choice(self.faulty).restart(self.chance.uniform(0.1, 2))

    async def _settle(self) -> None:
        """Waits until what goes on has ended, and asks each Space for an image."""
        begun = time.monotonic()
        for space in self.faulty:
            space.rate = 0
        unfinished = set(self.world.tasks)
        left: list[int] = [1]
        while time.monotonic() - begun < SETTLING and (unfinished or any(left)):
            for name in list(unfinished):
                answer = await self.world.caller().ask("GET", f"/v1/tasks/{name}")
                if answer.status == 404 or answer.json().get("status") in END:
                    # About a thousand finished ones are kept for a key.
                    unfinished.discard(name)
            left = [len(space.left()) for space in self.spaces]
            await asyncio.sleep(0.5)
        self.settled = time.monotonic() - begun
        if unfinished:
            self.wrong.append(f"{len(unfinished)} tasks of {len(self.world.tasks)} have no end: {list(unfinished)[:3]}")
        if any(left):
            self.wrong.append(f"jobs left at Spaces: {left}")
        for number in range(len(self.spaces)):
            for caller in self.world.callers:
                begun = time.monotonic()
                answer = await caller.ask("POST", IMAGES, {"model": f"only-{number}", "prompt": "last"})
                took = time.monotonic() - begun
                if answer.status != 200 or took > SETTLING:
                    self.wrong.append(
                        f"Space {number} is not served: {answer.status} after {took:.1f} s {answer.body!r}"
                    )
        await asyncio.sleep(5)
        self._look()

    async def _count(self, postgres: Postgres | None) -> None:
        self.rows: dict[str, int] = {}
        psql = programs() / "psql" if postgres else None
        if psql and psql.exists():
            tables = ["image", "task", "task_file", "idempotency", "lease", "waiter", "space", "profile", "response"]
            alive = "expires > 1000 * extract(epoch from now())"
            parts = [f"select '{table}', count(*) from {table}" for table in tables]
            parts.append(f"select 'waiting', count(*) from waiter where {alive}")
            command = [psql, postgres.url, "-AtF", " ", "-c", " union all ".join(parts)]
            # What an instance has no time to take back expires.
            for _ in range(SETTLING):
                said = await asyncio.to_thread(subprocess.check_output, command, text=True)
                self.rows = {name: int(count) for name, count in (line.split() for line in said.splitlines())}
                if not self.rows["waiting"]:
                    return
                await asyncio.sleep(1)
            self.wrong.append(f"{self.rows['waiting']} jobs wait though nobody does")

    def report(self) -> bool:
        """Writes the figures, and returns whether all is well."""
        pace = f"{self.done} requests in {self.seconds:.0f} s, {self.done / self.seconds:.0f} a second"
        print(f"\nseed {self.plan.seed}: {pace}")
        for name, outcomes in self.outcomes.items():
            parts = ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common())
            print(f"  {name}: {parts}; the longest {self.longest[name]:.1f} s")
        for number in range(len(self.processes)):
            self._compare(
                f"memory of host {number}, in MB", [sizes[number] / 2**20 for _, sizes, _ in self.curve], MEMORY
            )
            self._compare(f"descriptors of host {number}", [opened[number] for _, _, opened in self.curve], DESCRIPTORS)
        faults = ", ".join(f"{space.faults} faults and {space.restarts} restarts" for space in self.faulty)
        jobs = sum(len(space.joined) for space in self.spaces)
        print(f"  {faults}; {jobs} jobs at Spaces that have not restarted since; settled in {self.settled:.1f} s")
        print(f"  {len(self.world.tasks)} tasks; rows: {self.rows}")
        for log in self.logs:
            traps = [line for line in log.splitlines() if "panicked" in line or "an instance failed" in line]
            if traps:
                self.wrong.append(f"{len(traps)} traps: {traps[:3]}")
        for wrong in self.wrong[:MOST]:
            print(f"  WRONG {wrong}")
        print(f"{len(self.wrong)} wrong" if self.wrong else "all is well")
        return not self.wrong

    def _compare(self, name: str, seen: list[float], allowance: float) -> None:
        """Holds the last part of a curve against the part after the warming up."""
        part = dict(zip(range(len(seen)), (done / self.done for done, _, _ in self.curve), strict=True))
        warm = statistics.median(seen[at] for at in part if WARM <= part[at] < 2 * WARM)
        late = statistics.median(seen[at] for at in part if part[at] >= 1 - WARM)
        steps = " ".join(f"{seen[at * (len(seen) - 1) // 16]:.0f}" for at in range(17))
        print(f"  {name}: {steps}; warm {warm:.0f}, late {late:.0f}")
        if late > GROWTH * warm + allowance:
            self.wrong.append(f"{name} grow: {warm:.0f} to {late:.0f}")


def has_postgres() -> bool:
    try:
        return (programs() / "initdb").exists()
    except AssertionError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    arguments = parser.parse_args()
    soak = Soak(Plan(arguments.requests, arguments.minutes, arguments.seed))
    asyncio.run(soak.run())
    return 0 if soak.report() else 1


if __name__ == "__main__":
    sys.exit(main())
