"""Links to images in another format than their Space made: made once for all, and nobody is held up by it."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from database import Postgres
from host import KEY, Host, Hosts
from liar import Liar
from pictures import opened
from PIL import Image, ImageChops

HEADERS = {"authorization": f"Bearer {KEY}"}
SIDE = 4096
"""Sides of the largest image that is converted."""


def picture(side: int, alpha: bool = False) -> Image.Image:
    """An image as smooth as a photograph."""
    bands = [Image.effect_noise((side // 16, side // 16), 60).resize((side, side), Image.BICUBIC) for _ in range(3)]
    return Image.merge("RGBA", [*bands, bands[0]]) if alpha else Image.merge("RGB", bands)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png", compress_level=1)
    return file.getvalue()


@pytest.fixture(scope="module")
def serving(liar: Liar) -> Iterator[Host]:
    liar.files["as large as may be"] = png(picture(SIDE))
    host = Host(spaces=f"z-image-turbo={liar.url}", extra_host=liar.url)
    yield host
    host.end()


def link(url: str, prompt: str, target: str) -> str:
    fields = {"prompt": prompt, "response_format": "url", "output_format": target}
    answer = httpx.post(f"{url}/v1/images/generations", json=fields, headers=HEADERS, timeout=60)
    return answer.json()["data"][0]["url"]


def fetches(liar: Liar, prompt: str) -> int:
    """Number of times that the file of that prompt's image was asked for."""
    return sum(path.startswith("/gradio_api/file=") and prompt in httpx.URL(path).path for path in liar.paths())


def seconds_of_computing(host: Host) -> float:
    """Time that the host's process has computed so far."""
    fields = Path(f"/proc/{host.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def health(host: Host) -> Iterator[list[float]]:
    """The seconds that each of many calls of `/healthz` takes meanwhile."""
    took: list[float] = []
    ended = threading.Event()

    def probe() -> None:
        with httpx.Client(base_url=host.url, timeout=60) as client:
            while not ended.wait(0.01):
                begun = time.monotonic()
                assert client.get("/healthz").status_code == 200
                took.append(time.monotonic() - begun)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield took
    finally:
        ended.set()
        thread.join()


@pytest.mark.timed
def test_many_requests_for_a_large_image_convert_it_once(serving: Host, liar: Liar) -> None:
    url = link(serving.url, "as large as may be", "jpeg")
    begun, computed = time.monotonic(), seconds_of_computing(serving)
    with health(serving) as took, ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: httpx.get(url, timeout=120), range(32)))
    computed = seconds_of_computing(serving) - computed
    took.sort()
    print(
        f"\n32 GETs of one link to {SIDE}x{SIDE} pixels: {time.monotonic() - begun:.2f} s, {computed:.2f} s of "
        f"computing; /healthz p50 {took[len(took) // 2] * 1000:.0f} ms, p99 {took[len(took) * 99 // 100] * 1000:.0f} ms"
    )
    assert [answer.status_code for answer in answers] == [200] * 32, [answer.text[:200] for answer in answers]
    assert {answer.headers["content-type"] for answer in answers} == {"image/jpeg"}
    assert len({answer.content for answer in answers}) == 1
    assert fetches(liar, "as large as may be") == 1, "for one conversion"
    assert took[len(took) * 99 // 100] < 2
    image = opened(answers[0].content)
    original = opened(liar.files["as large as may be"])
    assert image.size == original.size
    # A strip in the wrong place would be far off.
    difference = ImageChops.difference(image.resize((64, 64)), original.resize((64, 64)))
    assert max(high for _, high in difference.getextrema()) < 24
    part = httpx.get(url, headers={"range": "bytes=-1000"})
    assert (part.status_code, part.content) == (206, answers[0].content[-1000:])


@pytest.mark.parametrize("alpha", [False, True])
def test_webp_is_without_loss(serving: Host, liar: Liar, alpha: bool) -> None:
    prompt = f"a picture, {alpha}"
    original = picture(600, alpha)
    liar.files[prompt] = png(original)
    answer = httpx.get(link(serving.url, prompt, "webp"), timeout=60)
    assert answer.headers["content-type"] == "image/webp"
    image = opened(answer.content)
    assert (image.format, image.mode, image.size) == ("WEBP", original.mode, original.size)
    if alpha:
        # What can't be seen may have any colour.
        image.paste(original, mask=original.getchannel("A").point(lambda alpha: 255 if alpha == 0 else 0))
    assert ImageChops.difference(image.convert("RGB"), original.convert("RGB")).getbbox() is None


def test_an_image_that_is_too_large_comes_as_it_is(serving: Host, liar: Liar) -> None:
    liar.files["too large"] = png(Image.new("RGB", (SIDE + 1, SIDE), "red"))
    answer = httpx.get(link(serving.url, "too large", "jpeg"), timeout=60)
    assert (answer.headers["content-type"], answer.content) == ("image/png", liar.files["too large"])


@pytest.mark.busy
def test_hosts_share_what_they_convert(postgres: Postgres, liar: Liar) -> None:
    liar.files["for two hosts"] = png(picture(1024))
    hosts = Hosts(2, postgres, spaces=f"z-image-turbo={liar.url}", extra_host=liar.url)
    try:
        first, second = (host.url for host in hosts.running)
        url = link(first, "for two hosts", "jpeg")
        urls = [url, url.replace(first, second)] * 8
        with ThreadPoolExecutor(len(urls)) as pool:
            answers = list(pool.map(lambda url: httpx.get(url, timeout=60), urls))
        assert [answer.status_code for answer in answers] == [200] * len(urls)
        assert len({answer.content for answer in answers}) == 1
        assert fetches(liar, "for two hosts") == 1
    finally:
        hosts.stop()
