"""The document of the API that is served, and schemathesis' attempts at everything that it describes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from host import KEY, ROOT, Host
from liar import Liar
from PIL import Image

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SECONDS = 45
"""Time of schemathesis' own attempts, in seconds."""


@pytest.fixture
def host() -> Iterator[Host]:
    """The application before a Space that makes a real image of every prompt."""
    liar = Liar()
    image = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(image, "png")
    liar.files["fine"] = image.getvalue()
    original = liar.post

    def post(handler, call: dict) -> None:
        if "data" in call:
            call["data"][0] = "fine"
        original(handler, call)

    liar.post = post
    host = Host(spaces=f"z-image-turbo={liar.url}", extra_host=liar.url)
    yield host
    host.end()
    liar.stop()


def test_the_document_and_its_page_are_served(host: Host) -> None:
    document = httpx.get(f"{host.url}/openapi.json")
    assert document.headers["content-type"] == "application/json"
    assert document.json() == json.loads((ROOT / "assets/openapi.json").read_text())
    page = httpx.get(f"{host.url}/docs")
    assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    for name in re.findall(r'(?:href|src)="([\w.-]+)"', page.text):
        assert httpx.get(f"{host.url}/{name}").status_code == 200, name
    assert "'self'" in page.headers["content-security-policy"]


def test_the_page_shows_every_operation(host: Host) -> None:
    chromium = os.environ.get("CHROMIUM")
    assert chromium, "cargo xtask test sets CHROMIUM"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    shown = subprocess.run([chromium, *flags, f"{host.url}/docs"], capture_output=True, text=True, timeout=100).stdout
    for path, item in document(host)["paths"].items():
        for method in set(item) - {"parameters"}:
            assert f"<b>{method.upper()}</b><code>{path}</code>" in shown, shown[:2_000]
            assert f'<details id="{item[method]["operationId"]}">' in shown
    assert "array of " in shown and "can't be read" not in shown


def test_schemathesis_finds_no_fault(host: Host, tmp_path: Path) -> None:
    python = os.environ.get("SCHEMATHESIS_PYTHON")
    assert python, "cargo xtask test sets SCHEMATHESIS_PYTHON"
    report = tmp_path / "report.json"
    command = [Path(python).parent / "schemathesis", "run", f"{host.url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {KEY}", "--checks", CHECKS, "--mode", "all"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--seed", "1"]
    command += ["--max-time", str(SECONDS), "--request-timeout", "30", "--continue-on-failure", "--warnings", "off"]
    command += ["--suppress-health-check", "all", "--report", "json", "--report-json-path", report]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-2_000:]}"
    operations = sum(len(set(path) - {"parameters"}) for path in document(host)["paths"].values())
    assert f"Tested: {operations}\n" in done.stdout
    assert int(re.search(r"(\d+) generated", done.stdout)[1]) > 500, done.stdout[-2_000:]


def document(host: Host) -> dict:
    return httpx.get(f"{host.url}/openapi.json").json()
