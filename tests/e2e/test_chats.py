"""Images in a chat, by the official SDK."""

from __future__ import annotations

import base64
import re

import httpx
import pytest
from host import Host, Shapes
from pictures import data_url, events, opened, plain
from shapes import arguments_of

import openai
from app import seed_of

IMAGE = re.compile(r"!\[(.*?)\]\((.*?)\)")


def linked(content: str) -> list:
    return [opened(httpx.get(url).content) for _, url in IMAGE.findall(content)]


def said(prompt) -> list[dict]:
    return [{"role": "user", "content": prompt}]


def test_an_image_in_markdown(client: openai.OpenAI, host: Host) -> None:
    answer = client.chat.completions.create(
        model="z-image-turbo", messages=said("a red fox --seed 7 --size 512x256 --steps 1"), temperature=0.5
    )
    content = answer.choices[0].message.content
    assert content.startswith(f"![a red fox]({host.url}/v1/images/files/")
    assert "Seed 7 · 512x256 · " in content
    (image,) = linked(content)
    assert (image.size, seed_of(image)) == ((512, 256), 7)
    assert answer.choices[0].finish_reason == "stop" and answer.usage.completion_tokens == 1


def test_a_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="z-image-turbo",
        messages=said('{"prompt": "一只红色的狐狸", "width": 256, "height": 256, "n": 2, "seed": 5, "steps": 3}'),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    thoughts = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert "第 1/2 张：开始绘制\n" in thoughts and "第 2/2 张：第 3/3 步\n" in thoughts
    whole = [delta.content for delta in deltas if delta.content and "![" in delta.content]
    assert all(IMAGE.fullmatch(content) for content in whole), "each image in one piece"
    assert sorted(seed_of(image) for content in whole for image in linked(content)) == [5, 6]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens == 2


@pytest.mark.parametrize("links", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_images_beside_the_text(client: openai.OpenAI, http: httpx.Client, stream: bool, links: bool) -> None:
    body = {
        "model": "z-image-turbo",
        "messages": said("a fox --seed 3 --steps 1"),
        "modalities": ["image", "text"],
        "image_config": {"aspect_ratio": "2:1"},
        "stream": stream,
    }
    answer = http.post("/v1/chat/completions", json=body | ({"response_format": "url"} if links else {}))
    if stream:
        parts = [data["choices"][0]["delta"] for _, data in events(answer)[:-1]]
    else:
        parts = [answer.json()["choices"][0]["message"]]
    assert not IMAGE.search("".join(part.get("content") or "" for part in parts))
    (image,) = [image for part in parts for image in part.get("images", [])]
    assert (image["type"], image["index"]) == ("image_url", 0)
    url = image["image_url"]["url"]
    if links:
        assert max(map(len, answer.content.split(b"\n"))) < 64 << 10
        drawn = opened(httpx.get(url).raise_for_status().content)
    else:
        drawn = opened(url.partition(";base64,")[2])
    assert (drawn.size, seed_of(drawn)) == ((1472, 704), 3)


def test_an_attached_image_is_edited_and_then_edited_again(many: Shapes) -> None:
    chat = many.client.chat.completions
    messages = said(
        [{"type": "text", "text": "blue --seed 1"}, {"type": "image_url", "image_url": {"url": data_url(plain("red"))}}]
    )
    first = chat.create(model="editor", messages=messages).choices[0].message.content
    (image,) = linked(first)
    assert arguments_of(image)["image"] == [255, 0, 0]
    messages += [{"role": "assistant", "content": first}, {"role": "user", "content": "green --seed 2 --edit"}]
    (again,) = linked(chat.create(model="editor", messages=messages).choices[0].message.content)
    made = arguments_of(again)
    assert (made["prompt"], made["seed"]) == ("green", 2)
    assert made["image"] == list(image.convert("RGB").getpixel((0, 0)))
    messages[-1] = {"role": "user", "content": "now make the last image green"}
    (meant,) = linked(chat.create(model="several", messages=messages).choices[0].message.content)
    assert len(arguments_of(meant)["images"]) == 1
    messages[-1] = {"role": "user", "content": "a whale"}
    (new,) = linked(chat.create(model="several", messages=messages).choices[0].message.content)
    assert arguments_of(new)["images"] == []


def test_what_a_space_refuses_is_said(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="z-image-turbo", messages=said("fault: gr.Error"))
    assert error.value.code == "rejected_by_space"
    stream = client.chat.completions.create(model="z-image-turbo", messages=said("fault: gr.Error"), stream=True)
    deltas = [chunk.choices[0] for chunk in stream]
    content = "".join(choice.delta.content or "" for choice in deltas)
    assert content.strip() == "**The image could not be made.** Prompt rejected: bad words"
    assert deltas[-1].finish_reason == "stop"


def test_the_base64_of_a_chat_is_whole(http: httpx.Client) -> None:
    body = {"model": "z-image-turbo", "messages": said("a fox --steps 1"), "modalities": ["image"]}
    url = http.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["images"][0]["image_url"]["url"]
    base64.b64decode(url.partition(",")[2], validate=True)
