"""What `cargo xtask release` makes can be served, and the workflow calls commands that there are."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tarfile
from pathlib import Path

import httpx
import pytest
import yaml
from host import ROOT, TARGET, Host

WORKFLOWS = ROOT / ".github/workflows"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the archives unpack into."""
    folder = tmp_path_factory.mktemp("release")
    # The parts lie where they are built: a release of its own has a folder of its own.
    target = folder / "target"
    target.mkdir()
    for name in ("wasm32-wasip2", "release"):
        (target / name).symlink_to(TARGET / name)
    command = [TARGET / "debug/xtask", "release", "--dry-run", "--no-build", "--no-sbom"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    dist = target / "dist"
    for line in (dist / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest
    names = {path.name for path in dist.iterdir()}
    assert {"NOTES.md", "SHA256SUMS", "z_image_2api.wasm", "z_image_fileserver.wasm"} <= names
    archives = sorted(dist.glob("*.tar.gz"))
    assert len(archives) == 2, names
    for archive in archives:
        with tarfile.open(archive) as tar:
            assert not [member.name for member in tar if member.name.startswith(("/", "..")) or member.issym()]
            tar.extractall(folder)
    (made,) = folder.glob("z-image-2api-*")
    return made


def test_both_archives_together_are_served(unpacked: Path) -> None:
    host = Host(program=unpacked / "z-image-host", manifest=unpacked / "spin.toml")
    assert httpx.get(f"{host.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{host.url}/openapi.json").json()["info"]["version"] in unpacked.name
    host.end()


def test_a_release_that_is_not_tagged_is_refused() -> None:
    command = [TARGET / "debug/xtask", "release", "--no-build", "--no-sbom"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and ("CHANGELOG.md says nothing" in done.stderr or "has no tag" in done.stderr)


@pytest.mark.parametrize("file", sorted(WORKFLOWS.glob("*.yml")), ids=lambda file: file.name)
def test_workflows(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    commands = subprocess.run([TARGET / "debug/xtask", "help"], capture_output=True, text=True).stdout
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert runs and workflow["permissions"] == {"contents": "read"}, "what needs more says so itself"
    for run in runs:
        for name in re.findall(r"cargo xtask (\w+)", run):
            assert re.search(rf"(?m)^  {name} ", commands), name
        # A text of others in a command is a command of others.
        assert "${{ github.event" not in run
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        needs = job.get("needs", [])
        assert set(needs) <= set(workflow["jobs"])
