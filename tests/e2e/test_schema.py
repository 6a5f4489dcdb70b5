"""Every kind of answer against OpenAI's published types, strictly.

Each field that a type declares is there as declared, and what is beyond it is on a list.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from host import KEY, Shapes
from openai.types import (
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
    ImagesResponse,
    Model,
)
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.shared import ErrorObject
from pictures import data_url, events, plain
from pydantic import BaseModel, TypeAdapter

# What is added to OpenAI's types, by its last name in the path of the answer.
BEYOND = {"seed", "image_index", "url", "errors", "space", "reasoning_content", "images", "store"}


def beyond(model: Any, path: str = "") -> set[str]:
    """The paths of all fields that the types don't know. The SDK's own types keep such fields."""
    if isinstance(model, BaseModel):
        found = {f"{path}.{name}" for name in model.model_extra or {}}
        return found.union(*(beyond(getattr(model, name), f"{path}.{name}") for name in type(model).model_fields))
    if isinstance(model, list):
        return set().union(*(beyond(item, path) for item in model))
    return set()


def holds(kind: Any, data: dict) -> Any:
    model = TypeAdapter(kind).validate_python(data, strict=True)
    assert {path.rsplit(".", 1)[1] for path in beyond(model)} <= BEYOND, beyond(model)
    return model


@pytest.fixture(scope="module")
def server(many: Shapes):
    with httpx.Client(base_url=many.host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        yield client


FIELDS = {"model": "generator", "prompt": "a fox", "size": "256x256", "quality": "high"}
EDIT = {"model": "editor", "prompt": "blue", "images": [{"image_url": data_url(plain("red"))}]}
TOOL = {"type": "image_generation", "partial_images": 1, "size": "256x256", "background": "opaque"}
CHAT = {"model": "generator", "messages": [{"role": "user", "content": "a fox"}]}


@pytest.mark.parametrize("more", [{}, {"n": 2}, {"response_format": "url"}, {"output_format": "jpeg"}])
def test_images(server: httpx.Client, more: dict) -> None:
    made = holds(ImagesResponse, server.post("/v1/images/generations", json=FIELDS | more).json())
    assert len(made.data) == more.get("n", 1) and made.usage.output_tokens == more.get("n", 1)
    assert all("null" not in str(item.model_dump(exclude_unset=True).values()) for item in made.data)


def test_edits(server: httpx.Client) -> None:
    assert (
        holds(ImagesResponse, server.post("/v1/images/edits", json=EDIT).json()).usage.input_tokens_details.image_tokens
        == 1
    )


def test_image_events(server: httpx.Client) -> None:
    partial, last = events(server.post("/v1/images/generations", json=FIELDS | {"stream": True, "partial_images": 1}))
    holds(ImageGenPartialImageEvent, partial[1])
    holds(ImageGenCompletedEvent, last[1])
    for _, data in events(server.post("/v1/images/generations", json=FIELDS | {"stream": True, "n": 2})):
        holds(ImageGenCompletedEvent, data)
    ((_, data),) = events(server.post("/v1/images/edits", json=EDIT | {"stream": True}))
    holds(ImageEditCompletedEvent, data)
    assert ImageEditPartialImageEvent.model_fields["type"].annotation.__args__ == ("image_edit.partial_image",)


@pytest.mark.parametrize("more", [{}, {"modalities": ["image"]}])
def test_chats(server: httpx.Client, more: dict) -> None:
    holds(ChatCompletion, server.post("/v1/chat/completions", json=CHAT | more).json())
    streamed = events(
        server.post(
            "/v1/chat/completions", json=CHAT | more | {"stream": True, "stream_options": {"include_usage": True}}
        )
    )
    assert streamed.pop() == (None, "[DONE]")
    for name, data in streamed:
        assert name is None
        holds(ChatCompletionChunk, data)


@pytest.mark.parametrize(
    "more", [{"tools": [TOOL]}, {}, {"tools": [TOOL], "n": 2, "metadata": {"a": "b"}, "instructions": "be kind"}]
)
def test_responses(server: httpx.Client, more: dict) -> None:
    body = {"model": "generator", "input": "a fox"} | more
    first = holds(Response, server.post("/v1/responses", json=body).json())
    streamed = events(server.post("/v1/responses", json=body | {"stream": True, "previous_response_id": first.id}))
    for number, (name, data) in enumerate(streamed):
        assert (data["type"], data["sequence_number"]) == (name, number)
        holds(ResponseStreamEvent, data)


def test_a_failed_response(server: httpx.Client, http_lied_to: httpx.Client) -> None:
    body = {"input": "cut", "tools": [TOOL], "stream": True}
    for _, data in events(http_lied_to.post("/v1/responses", json=body)):
        last = holds(ResponseStreamEvent, data)
    assert last.response.status == "failed" and last.response.error.code == "server_error"


def test_models_and_errors(server: httpx.Client) -> None:
    for item in server.get("/v1/models").json()["data"]:
        holds(Model, item)
    for answer in [
        server.get("/v1/models/nothing"),
        server.get("/v1/nothing"),
        server.post("/v1/images/generations", json={}),
        server.post("/v1/chat/completions", json={}),
        server.post("/v1/responses", json={}),
        httpx.get(f"{server.base_url}/v1/models"),
    ]:
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        # The type says that a code is always a text; OpenAI's own answers have null where they have none.
        holds(ErrorObject, error | {"code": error["code"] or ""})
