"""LiteLLM as a client of an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import io

import litellm
import pytest
from pictures import plain, size


@pytest.fixture
def server(base_url: str, key: str) -> dict:
    return {"api_base": base_url, "api_key": key}


def said(prompt: str) -> list[dict]:
    return [{"role": "user", "content": prompt}]


def test_images(server: dict) -> None:
    made = litellm.image_generation(model="openai/z-image-turbo", prompt="a fox", n=2, size="512x256", **server)
    assert [size(item.b64_json) for item in made.data] == [(512, 256)] * 2


def test_images_asynchronously(server: dict) -> None:
    call = litellm.aimage_generation(model="openai/z-image-turbo", prompt="a fox", size="256x256", **server)
    assert size(asyncio.run(call).data[0].b64_json) == (256, 256)


def test_edits(server: dict) -> None:
    made = litellm.image_edit(model="openai/editor", image=io.BytesIO(plain(255, 0, 0)), prompt="blue", **server)
    assert size(made.data[0].b64_json) == (64, 64)


def test_chats(server: dict) -> None:
    made = litellm.completion(model="openai/z-image-turbo", messages=said("a fox --seed 7"), **server)
    assert made.choices[0].message.content.startswith("![a fox](http://127.0.0.1:")
    stream = litellm.completion(model="openai/z-image-turbo", messages=said("a fox"), stream=True, **server)
    chunks = [chunk.choices[0] for chunk in stream]
    assert "![a fox](http://127.0.0.1:" in "".join(choice.delta.content or "" for choice in chunks)
    assert chunks[-1].finish_reason == "stop"
    with_images = litellm.completion(
        model="openai/z-image-turbo", messages=said("a fox --size 256x256"), modalities=["image", "text"], **server
    )
    url = with_images.choices[0].message.images[0]["image_url"]["url"]
    assert size(url.partition(";base64,")[2]) == (256, 256)


def test_responses(server: dict) -> None:
    tool = {"type": "image_generation", "size": "256x256"}
    made = litellm.responses(model="openai/z-image-turbo", input="a fox", tools=[tool], **server)
    (call,) = made.output
    item = call if isinstance(call, dict) else call.model_dump()
    assert size(item["result"]) == (256, 256)


def test_errors(server: dict) -> None:
    with pytest.raises(litellm.AuthenticationError):
        litellm.image_generation(model="openai/z-image-turbo", prompt="x", **server | {"api_key": "sk-wrong"})
    with pytest.raises(litellm.BadRequestError, match="WIDTHxHEIGHT"):
        litellm.image_generation(model="openai/z-image-turbo", prompt="x", size="huge", **server)
    with pytest.raises(litellm.NotFoundError):
        litellm.image_generation(model="openai/nothing", prompt="x", **server)
