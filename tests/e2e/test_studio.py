"""The studio in a real browser: tests/node/studio, against the built components and real Spaces."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator

import pytest
from host import ROOT, TARGET, Host, Shapes, Space
from PIL import ExifTags, Image
from talker import NASTY, Talker

STUDIO = ROOT / "tests/node/studio"
OUTPUT = TARGET / "studio"


TESTS = sorted(path.name for path in STUDIO.glob("*.test.js"))


def keys(file: str) -> list[str]:
    """A key for each visitor of a test: the server keeps a history of each."""
    return [f"sk-studio-{file.split('.')[0]}-{number:02}" for number in range(40)]


@pytest.fixture(scope="module")
def environment(many: Shapes) -> Iterator[dict[str, str]]:
    """Environment of the tests in the browser."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    space = Space(sys.executable, "--step-seconds", "0.12")
    spaces = ",".join(f"{name}={url}" for name, url in ({"z-image-turbo": space.url} | many.urls).items())
    api_keys = ",".join(key for file in TESTS for key in keys(file))
    # A secret that is there from the beginning: the first visitors ask for several links at once.
    secret = "a secret for the links of these tests alone"
    hosts = [
        Host(spaces=spaces, extra_host="http://127.0.0.1:*", api_keys=api_keys, link_secret=secret),
        Host(spaces="nobody=http://127.0.0.1:9", extra_host="http://127.0.0.1:*", api_keys=api_keys),
        Host(spaces=f"z-image-turbo={space.url}", extra_host="http://127.0.0.1:*", auth="open", api_keys=""),
        Host(spaces=f"z-image-turbo={space.url}", extra_host="http://127.0.0.1:*", api_keys=api_keys),
    ]
    talker = Talker(NASTY[:500])
    hosts.append(Host(spaces=f"told={talker.url}", extra_host="http://127.0.0.1:*", auth="open", api_keys=""))
    yield os.environ | {
        "STUDIO_URL": f"{hosts[0].url}/",
        "STUDIO_DEAD_URL": f"{hosts[1].url}/",
        "STUDIO_OPEN_URL": f"{hosts[2].url}/",
        "STUDIO_SPENT_URL": f"{hosts[3].url}/",
        "STUDIO_HOSTILE_URL": f"{hosts[4].url}/",
        "STUDIO_OUTPUT": str(OUTPUT),
        "PYTHON": sys.executable,
    }
    for host in hosts:
        assert "sk-studio-" not in host.end()
    space.stop()
    talker.stop()


def run(environment: dict[str, str], file: str) -> None:
    node = shutil.which("node")
    assert node and os.environ.get("CHROMIUM"), "these tests need Node, and CHROMIUM must name a browser of its kind"
    done = subprocess.run(
        [node, "--test", str(STUDIO / file)], env=environment, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, f"{done.stdout[-20000:]}\n{done.stderr[-5000:]}"


@pytest.mark.timeout(820)
@pytest.mark.parametrize("file", TESTS)
def test_in_the_browser(environment: dict[str, str], file: str) -> None:
    run(environment | {"API_KEYS": ",".join(keys(file))}, file)


def test_downloads_hold_their_parameters_for_other_programs(environment: dict[str, str]) -> None:
    """Files that files.test.js has downloaded, read by Pillow."""
    png = Image.open(OUTPUT / "download.png")
    assert png.format == "PNG"
    assert png.text["parameters"].startswith("落日 a sunset\n") and "Seed: 7" in png.text["parameters"]
    for name, kind in (("download.webp", "WEBP"), ("download.jpg", "JPEG")):
        image = Image.open(OUTPUT / name)
        image.load()
        assert image.format == kind
        comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
        assert comment.startswith(b"UNICODE\0") and comment[8:].decode("utf-16-be").startswith("落日 a sunset\n")
    with zipfile.ZipFile(OUTPUT / "export.zip") as archive:
        assert archive.testzip() is None
        index = json.loads(archive.read("images.json"))
        assert len(index) == 3 and {item["file"] for item in index} == set(archive.namelist()) - {"images.json"}
        for item in index:
            Image.open(io.BytesIO(archive.read(item["file"]))).load()
