"""The commands and snippets in the documents, as they are, against the built component and a real Space.

A block of code is fenced, and its info string says what becomes of it: `sh`, `python` and `js` are run; those with
`,ignore` are not, for the reason behind it; other languages are shown only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from host import KEY, ROOT, TARGET, Host

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")])
RUN = ("sh", "python", "js")
SHOWN = ("text", "toml", "yaml", "json", "nginx", "ini", "promql")
ADDRESSES = ("http://127.0.0.1:3000", "https://images.example", "https://your-server")


class Block(NamedTuple):
    page: str
    line: int
    info: str
    text: str

    @property
    def language(self) -> str:
        return re.split(r"[,\s]", self.info)[0]

    @property
    def is_ignored(self) -> bool:
        return self.info.startswith(f"{self.language},ignore")


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        lines = page.read_text().splitlines()
        start = None
        for number, line in enumerate(lines):
            if not line.startswith("```"):
                continue
            if start is None:
                start = number
            else:
                text = "\n".join(lines[start + 1 : number])
                found.append(Block(str(page.relative_to(ROOT)), start + 1, lines[start][3:], text))
                start = None
        assert start is None, f"{page}: a block is not closed"
    return found


def outside(page: Path) -> list[str]:
    """Lines of a page that are in no fence."""
    return re.sub(r"(?ms)^```.*?^```$", "", page.read_text()).splitlines()


RUNNABLE = [block for block in blocks() if block.language in RUN and not block.is_ignored]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_fenced(page: Path) -> None:
    lines = ["", *outside(page)]
    indented = [after for before, after in pairwise(lines) if not before and after[:4] == "    "]
    assert not indented


def test_every_block_says_what_becomes_of_it() -> None:
    assert len(RUNNABLE) >= 8
    for block in blocks():
        place = f"{block.page}:{block.line}: {block.info!r}"
        assert block.language in (*RUN, *SHOWN) or block.is_ignored, place
        if block.is_ignored:
            reason = block.info.removeprefix(f"{block.language},ignore").strip()
            assert len(reason.split()) >= 3, f"{place} has no reason"


def test_what_is_shown_can_be_read() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    readers = {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}
    shown = [block for block in blocks() if block.language in readers]
    assert len(shown) >= 5
    for block in shown:
        try:
            readers[block.language](block.text)
        except ValueError as error:
            pytest.fail(f"{block.page}:{block.line}: {error}")


@pytest.mark.parametrize("block", RUNNABLE, ids=lambda block: f"{block.page}:{block.line}")
def test_it_runs(block: Block, host: Host, tmp_path: Path) -> None:
    text = block.text.replace("sk-…", KEY)
    for address in ADDRESSES:
        text = text.replace(address, host.url)
    assert "…" not in text, "nobody can run this"
    environment = os.environ | {"KEY": KEY, "API_KEY": KEY, "BASE_URL": f"{host.url}/v1"}
    folder = tmp_path
    if block.language == "sh":
        # The command that is built already, and a curl that minds errors.
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "cargo").write_text(f'#!/bin/sh\ntest "$1" = xtask && shift && exec {TARGET}/debug/xtask "$@"\n')
        (programs / "cargo").chmod(0o755)
        environment["PATH"] = f"{programs}:{environment['PATH']}"
        command, text = ["bash", "-euo", "pipefail"], f'curl() {{ command curl --fail-with-body "$@"; }}\n{text}'
    elif block.language == "python":
        command = [sys.executable, "-"]
    else:
        # Where the packages are.
        command, folder = [shutil.which("node"), "--input-type=module", "-"], ROOT / "tests/node"
    done = subprocess.run(command, input=text, env=environment, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
