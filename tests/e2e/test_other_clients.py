"""Clients that can't live beside Gradio: each in an environment of its own, against the same server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from host import KEY, ROOT, Host, Shapes, Space
from liar import Liar
from waiting import wait_until


@pytest.fixture(scope="module")
def server(space: Space, many: Shapes, liar: Liar) -> Iterator[dict[str, str]]:
    """Environment of the clients' tests, with the server's address.

    Nobody listens at the Space of the model ``down``; that of ``tired`` is for those who use its quota up.
    """
    tired = Space(sys.executable, "--step-seconds", "0.01")
    models = {
        "z-image-turbo": space.url,
        "vendor/z-image": space.url,
        "liar": liar.url,
        "tired": tired.url,
        "down": "http://127.0.0.1:1",
    }
    models |= {name: many.urls[name] for name in ("editor", "several", "generator")}
    host = Host(spaces=",".join(f"{name}={url}" for name, url in models.items()), extra_host="http://127.0.0.1:*")
    yield os.environ | {"BASE_URL": host.url, "API_KEY": KEY}
    tired.stop()
    host.end()


def run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("client", ["litellm", "langchain"])
def test_python(server: dict[str, str], client: str) -> None:
    python = os.environ.get("CLIENTS_PYTHON")
    assert python, "CLIENTS_PYTHON must name a Python with the clients' packages"
    run(
        [
            python,
            "-m",
            "pytest",
            "-q",
            "-W",
            "ignore",
            "-p",
            "no:cacheprovider",
            str(ROOT / f"tests/clients/test_{client}.py"),
        ],
        server,
    )


@pytest.fixture(scope="module")
def refusing(space: Space) -> Iterator[str]:
    """One that lets pages of another origin in than that of the browser's tests."""
    host = Host(spaces=f"z={space.url}", extra_host=space.url, cors_origins="https://chat.example")
    yield host.url
    assert host.stop() == 0


def run_in_node(client: str, environment: dict[str, str]) -> None:
    node = shutil.which("node")
    assert node, "these tests need Node"
    run([node, "--test", str(ROOT / f"tests/node/{client}.test.js")], environment)


@pytest.mark.timeout(300)
def test_openai_in_node(server: dict[str, str], liar: Liar) -> None:
    before = set(liar.jobs)
    run_in_node("openai", server)
    left = set(liar.jobs) - before
    assert left, "one of the tests leaves a stream"
    wait_until(lambda: left <= set(liar.cancelled), "it is to be noticed with the next heartbeat")


@pytest.mark.timeout(300)
def test_vercel(server: dict[str, str]) -> None:
    run_in_node("vercel", server)


@pytest.mark.timeout(300)
def test_openai_in_a_browser(server: dict[str, str], refusing: str) -> None:
    assert os.environ.get("CHROMIUM"), "CHROMIUM must name a browser of its kind"
    run_in_node("browser", server | {"REFUSING_URL": refusing})
