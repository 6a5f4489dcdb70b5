"""LangChain's OpenAI integration: chats, and its image tool by way of responses."""

from __future__ import annotations

import base64

import httpx
import pytest
from langchain_openai import ChatOpenAI
from pictures import plain, size

import openai

TOOL = {"type": "image_generation", "size": "256x256", "quality": "low"}


def test_chats(base_url: str, key: str) -> None:
    model = ChatOpenAI(model="z-image-turbo", base_url=base_url, api_key=key)
    assert model.invoke("a fox --seed 7").content.startswith("![a fox](http://127.0.0.1:")
    streamed = "".join(chunk.content for chunk in model.stream("a fox"))
    assert streamed.startswith("![a fox](http://127.0.0.1:")


def test_an_edit(base_url: str, key: str) -> None:
    model = ChatOpenAI(model="editor", base_url=base_url, api_key=key)
    picture = {
        "type": "image",
        "source_type": "base64",
        "mime_type": "image/png",
        "data": base64.b64encode(plain(255, 0, 0)).decode(),
    }
    content = model.invoke([("user", [{"type": "text", "text": "make it blue"}, picture])]).content
    made = httpx.get(content.partition("](")[2].partition(")")[0]).content
    assert size(base64.b64encode(made).decode()) == (64, 64), "the picture's own size"


def test_errors(base_url: str, key: str) -> None:
    with pytest.raises(openai.BadRequestError, match="WIDTHxHEIGHT"):
        ChatOpenAI(model="z-image-turbo", base_url=base_url, api_key=key).invoke("a fox --size huge")
    with pytest.raises(openai.AuthenticationError):
        ChatOpenAI(model="z-image-turbo", base_url=base_url, api_key="sk-wrong").invoke("a fox")


def images(content: list) -> list[dict]:
    return [block for block in content if block.get("type") in ("image", "image_generation_call")]


def test_the_image_tool(base_url: str, key: str) -> None:
    model = ChatOpenAI(model="z-image-turbo", base_url=base_url, api_key=key, use_responses_api=True).bind_tools([TOOL])
    (image,) = images(model.invoke("a fox").content_blocks)
    assert size(image["base64"]) == (256, 256)
    whole = None
    for chunk in model.stream("a fox"):
        whole = chunk if whole is None else whole + chunk
    assert size(images(whole.content_blocks)[-1]["base64"]) == (256, 256)


def test_going_on_from_an_image(base_url: str, key: str) -> None:
    model = ChatOpenAI(
        model="several", base_url=base_url, api_key=key, use_responses_api=True, use_previous_response_id=True
    )
    with_tool = model.bind_tools([TOOL])
    first = with_tool.invoke("a fox")
    again = with_tool.invoke([("user", "a fox"), first, ("user", "blue")])
    assert len(images(again.content_blocks)) == 1
