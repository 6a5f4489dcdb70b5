"""Clients that can't live beside Gradio: each in an environment of its own, against the same server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from host import KEY, ROOT, Host, Shapes, Space


@pytest.fixture(scope="module")
def server(space: Space, many: Shapes) -> Iterator[dict[str, str]]:
    models = {"z-image-turbo": space.url, "vendor/z-image": space.url}
    models |= {name: many.urls[name] for name in ("editor", "several", "generator")}
    host = Host(spaces=",".join(f"{name}={url}" for name, url in models.items()), extra_host="http://127.0.0.1:*")
    yield os.environ | {"BASE_URL": host.url, "API_KEY": KEY}
    assert host.stop() == 0
    assert "panicked" not in "".join(host.log)


def run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("client", ["litellm", "langchain"])
def test_python(server: dict[str, str], client: str) -> None:
    python = os.environ.get("CLIENTS_PYTHON")
    assert python, "CLIENTS_PYTHON must name a Python with the clients' packages"
    run([python, "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", str(ROOT / f"tests/clients/test_{client}.py")], server)
