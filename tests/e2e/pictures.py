"""Reading images and events as clients get them."""

from __future__ import annotations

import base64
import io
import json

import httpx
from PIL import Image


def opened(data: str | bytes) -> Image.Image:
    """An image, from its bytes or from base64."""
    image = Image.open(io.BytesIO(base64.b64decode(data) if isinstance(data, str) else data))
    image.load()
    return image


def plain(colour: str, size: tuple[int, int] = (64, 64)) -> bytes:
    """A PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "png")
    return file.getvalue()


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def events(answer: httpx.Response) -> list[tuple[str | None, dict | str]]:
    """The events of a stream, by the letter of what both official SDKs read."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("\n\n")
    read = []
    for block in answer.text.removesuffix("\n\n").split("\n\n"):
        # A comment fills a silence before an event.
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        assert set(fields) <= {"event", "data"}, block[:200]
        data = fields["data"]
        read.append((fields.get("event"), data if data == "[DONE]" else json.loads(data)))
    return read
