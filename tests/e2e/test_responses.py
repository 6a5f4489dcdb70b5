"""Images by the image_generation tool of responses, by the official SDK."""

from __future__ import annotations

import asyncio

import pytest
from host import KEY, Host, Shapes
from pictures import data_url, opened, plain
from shapes import arguments_of

import openai
from app import seed_of

TOOL = {"type": "image_generation", "size": "512x256", "quality": "low"}


def test_the_tool(client: openai.OpenAI) -> None:
    response = client.responses.create(model="z-image-turbo", input="a red fox --seed 7", tools=[TOOL])
    (call,) = response.output
    assert (response.status, call.type, call.status) == ("completed", "image_generation_call", "completed")
    image = opened(call.result)
    assert (image.size, seed_of(image)) == ((512, 256), 7)
    assert (call.size, call.output_format, call.quality) == ("512x256", "webp", "low")
    assert response.usage.output_tokens == 1


def test_a_message_without_the_tool(client: openai.OpenAI, host: Host) -> None:
    response = client.responses.create(
        model="z-image-turbo", input=[{"role": "user", "content": "a red fox --seed 7 --steps 1"}]
    )
    assert response.output_text.startswith(f"![a red fox]({host.url}/v1/images/files/")


def test_the_stream_with_the_sdks_own_accumulator(many: Shapes) -> None:
    tool = {"type": "image_generation", "partial_images": 2}
    seen = []
    with many.client.responses.stream(model="generator", input="a fox --seed 4 --steps 6", tools=[tool]) as stream:
        for event in stream:
            seen.append(event.type)
            if event.type == "response.image_generation_call.partial_image":
                assert arguments_of(opened(event.partial_image_b64))["seed"] == 4
        final = stream.get_final_response()
    assert seen.count("response.image_generation_call.partial_image") in (1, 2), "none comes after the image"
    assert seen[-1] == "response.completed"
    assert arguments_of(opened(final.output[0].result))["step"] == 5


def test_asynchronously(host: Host) -> None:
    async def made() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{host.url}/v1", api_key=KEY, max_retries=0) as client:
            stream = await client.responses.create(
                model="z-image-turbo", input="x --steps 1 --size 256x256", tools=[TOOL], stream=True
            )
            return [event.type async for event in stream]

    assert asyncio.run(made())[-1] == "response.completed"


def test_input_images_and_going_on(many: Shapes) -> None:
    content = [
        {"type": "input_text", "text": "blue --seed 1"},
        {"type": "input_image", "image_url": data_url(plain("red")), "detail": "auto"},
    ]
    first = many.client.responses.create(model="editor", input=[{"role": "user", "content": content}], tools=[TOOL])
    image = opened(first.output[0].result)
    assert arguments_of(image)["image"] == [255, 0, 0]
    corner = list(image.convert("RGB").getpixel((0, 0)))
    by_id = [{"type": "image_generation_call", "id": first.output[0].id}, {"role": "user", "content": "green --seed 2"}]
    for request in (
        {"input": "green --seed 2", "previous_response_id": first.id},
        {"input": by_id},
        {
            "input": [
                first.output[0].model_dump(exclude_none=True),
                {"role": "user", "content": "make the last image green --seed 2"},
            ]
        },
    ):
        again = arguments_of(
            opened(many.client.responses.create(model="editor", tools=[TOOL], **request).output[0].result)
        )
        assert (again["image"], again["seed"]) == (corner, 2)


def test_what_goes_wrong(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="z-image-turbo", input="x", previous_response_id="resp_no")
    assert (error.value.code, error.value.param) == ("previous_response_not_found", "previous_response_id")
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="z-image-turbo", input="fault: gr.Error", tools=[TOOL])
    events = list(client.responses.create(model="z-image-turbo", input="fault: gr.Error", tools=[TOOL], stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.message == "Prompt rejected: bad words"
