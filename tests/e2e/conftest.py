"""Fixtures that the tests run against: the built application, a real Gradio Space, and a lying one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import openai

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "space")]

from database import Postgres  # noqa: E402
from host import KEY, Host, Shapes, Space  # noqa: E402
from liar import Liar  # noqa: E402

LONGEST = ["studio", "scheduling", "pools", "database_trouble", "tasks_killed", "two_hosts", "soak", "faults"]
"""Files that take longest. They come first, so that none of them is begun when the others are at their ends."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew, and show what has changed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session")
def space() -> Iterator[Space]:
    space = Space(sys.executable, "--step-seconds", "0.01")
    yield space
    space.stop()


@pytest.fixture(scope="session")
def host(space: Space) -> Iterator[Host]:
    """The application in front of the real Space. Whatever is done to it, no secret may come out."""
    host = Host(spaces=f"z-image-turbo={space.url},other/name={space.url}", extra_host=space.url)
    yield host
    host.end()


@pytest.fixture(scope="session")
def liar() -> Iterator[Liar]:
    liar = Liar()
    yield liar
    liar.stop()


@pytest.fixture(scope="module")
def slow() -> Iterator[Liar]:
    """A Space that takes two seconds for an image."""
    liar = Liar()
    original = liar.post

    def post(handler, call: dict) -> None:
        if "data" in call:
            call["data"][0] = "slow"
        original(handler, call)

    liar.post = post
    yield liar
    liar.stop()


@pytest.fixture(scope="session")
def lied_to(liar: Liar) -> Iterator[Host]:
    """The application in front of the lying Space, with short limits."""
    host = Host(
        spaces=f"z-image-turbo={liar.url}",
        extra_host=liar.url,
        idle_timeout=2,
        job_timeout=4,
        max_image_bytes=2_000_000,
    )
    yield host
    host.end()


@pytest.fixture(scope="session")
def many() -> Iterator[Shapes]:
    """The application in front of Spaces of many shapes: `editor`, `generator`, `several` and others."""
    shapes = Shapes(sys.executable)
    yield shapes
    shapes.stop()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
def client(host: Host) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{host.url}/v1", api_key=KEY, max_retries=0)


@pytest.fixture
def http(host: Host) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        yield client


@pytest.fixture
def http_lied_to(lied_to: Host) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lied_to.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        yield client
