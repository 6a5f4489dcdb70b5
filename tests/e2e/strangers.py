"""The lying Space with room for many, and others who use it while one of them does harm."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
from host import KEY, Host
from liar import Liar
from measuring import HealthWatch
from pictures import events
from waiting import wait_until

HEADERS = {"authorization": f"Bearer {KEY}"}


@contextmanager
def serving(liar: Liar) -> Iterator[Host]:
    """The application in front of the lying Space, with room for all; none of its instances may fail."""
    catalog = f'[models.z-image-turbo]\nspaces = [{{ space = "{liar.url}", slots = 64 }}]\n'
    host = Host(catalog=catalog, extra_host=liar.url)
    yield host
    host.end()


def generate(host: Host, prompt: str, **fields: object) -> httpx.Response:
    body = {"prompt": prompt} | fields
    return httpx.post(f"{host.url}/v1/images/generations", json=body, headers=HEADERS, timeout=100)


@contextmanager
def strangers(host: Host, liar: Liar, prompt: str) -> Iterator[None]:
    """Others meanwhile: their streams are open, and end well after it; the server's health is answered."""
    health = HealthWatch(host.url)
    try:
        with ThreadPoolExecutor() as pool:
            made = [pool.submit(generate, host, prompt, stream=True) for _ in range(4)]
            try:
                wait_until(lambda: liar.joined(prompt) == 4)
                yield
            finally:
                liar.release(prompt)
            for stream in made:
                assert events(stream.result())[-1][0] == "image_generation.completed"
    finally:
        health.stop()
    print(f"{prompt}: healthz {health.summary()}")
