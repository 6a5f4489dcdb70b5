"""The programs in examples/, as they are, against the built component and a real Space."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from host import KEY, ROOT, Host, Space
from PIL import Image
from waiting import wait_until

EXAMPLES = ROOT / "examples"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def run(command: list[str | Path], host: Host, folder: Path) -> str:
    environment = os.environ | {"BASE_URL": f"{host.url}/v1", "API_KEY": KEY}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_example_is_tested() -> None:
    programs = {path.name for path in EXAMPLES.iterdir()} - {"README.md", "__pycache__"}
    assert programs == {"generate.sh", "generate.py", "stream.mjs", "webhook.py"}
    readme = (EXAMPLES / "README.md").read_text()
    assert all(f"[{name}]({name})" in readme for name in programs)


def test_curl(host: Host, tmp_path: Path) -> None:
    assert shutil.which("curl"), "this test needs curl"
    assert run([EXAMPLES / "generate.sh", 'a "red" fox', "fox.webp"], host, tmp_path) == "fox.webp\n"
    assert Image.open(tmp_path / "fox.webp").size == (512, 512)


def test_curl_says_what_is_wrong(host: Host, tmp_path: Path) -> None:
    environment = os.environ | {"BASE_URL": f"{host.url}/v1", "API_KEY": "sk-wrong"}
    command = [EXAMPLES / "generate.sh", "a fox", "fox.webp"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode != 0 and "key" in done.stderr.lower() and not (tmp_path / "fox.webp").exists()


def test_python(host: Host, tmp_path: Path) -> None:
    assert run([sys.executable, EXAMPLES / "generate.py", "a red fox"], host, tmp_path) == "42.webp\n43.webp\n"
    assert Image.open(tmp_path / "43.webp").size == (512, 512)


def test_node(host: Host, tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node, "this test needs Node"
    lines = run([node, EXAMPLES / "stream.mjs", "a red fox", "fox.webp"], host, tmp_path).splitlines()
    assert lines[0] in ("waiting", "queued") and any(line.startswith("step ") for line in lines)
    assert lines[-1].startswith("fox.webp, seed ")
    assert Image.open(tmp_path / "fox.webp").size == (512, 512)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[str]:
    """Address of the webhooks' receiver, which saves into the test's folder."""
    environment = os.environ | {"WEBHOOK_SECRET": SECRET}
    command = [sys.executable, EXAMPLES / "webhook.py", "0"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("Listening at "), line
    yield line.removeprefix("Listening at ").strip()
    process.kill()
    process.wait(20)


def test_a_webhook(receiver: str, space: Space, tmp_path: Path) -> None:
    forged = httpx.post(
        receiver,
        content=b'{"type": "image.task.succeeded"}',
        headers={
            "webhook-id": "msg_1",
            "webhook-timestamp": "1800000000",
            "webhook-signature": "v1," + hashlib.sha256(b"").hexdigest(),
        },
    )
    assert forged.status_code == 401
    host = Host(spaces=f"z={space.url}", extra_host=space.url, webhook_host=receiver, webhook_secret=SECRET)
    try:
        fields = {"prompt": "a fox", "size": "256x256", "seed": 7, "steps": 1, "async": True}
        answer = httpx.post(
            f"{host.url}/v1/images/generations",
            json=fields | {"webhook_url": f"{receiver}/images"},
            headers={"authorization": f"Bearer {KEY}"},
            timeout=60,
        )
        assert answer.status_code == 202, answer.text
        file = tmp_path / f"{answer.json()['id']}-7.webp"
        wait_until(lambda: file.exists() and file.stat().st_size > 0, "no webhook has come")
        wait_until(lambda: is_whole(file))
    finally:
        assert host.stop() == 0


def is_whole(file: Path) -> bool:
    try:
        Image.open(file).load()
    except OSError:
        return False
    return True
