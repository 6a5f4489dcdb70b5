"""Images, by the official OpenAI SDK, from a real Gradio Space, through the built component."""

from __future__ import annotations

import asyncio
import io

import httpx
import pytest
from host import KEY, Host
from pictures import opened
from PIL import Image, ImageChops, ImageStat

import openai
from app import draw, seed_of


def difference(one: Image.Image, other: Image.Image) -> float:
    """Average difference of two pictures, of 255; webp's losses are about 2."""
    return sum(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean) / 3


@pytest.mark.parametrize("size", ["512x512", "768x512", "512x1024"])
def test_an_image_of_the_asked_size_seed_and_prompt(client: openai.OpenAI, size: str) -> None:
    answer = client.images.generate(prompt="a red fox", size=size, extra_body={"seed": 123456789, "steps": 2})
    image = opened(answer.data[0].b64_json)
    width, height = map(int, size.split("x"))
    assert image.size == (width, height)
    assert seed_of(image) == 123456789
    assert answer.data[0].seed == 123456789
    assert answer.output_format == image.format.lower() == "webp"
    assert answer.size == size
    assert difference(image, draw("a red fox", width, height, 123456789)) < 6
    assert difference(image, draw("a blue fox", width, height, 123456789)) > 12


def test_several_images_have_seeds_in_a_row(client: openai.OpenAI) -> None:
    answer = client.images.generate(prompt="x", n=4, size="256x256", extra_body={"seed": 7, "steps": 1})
    assert [seed_of(opened(item.b64_json)) for item in answer.data] == [7, 8, 9, 10]


def test_without_a_seed_each_image_is_another_and_its_seed_is_told(client: openai.OpenAI) -> None:
    answers = [client.images.generate(prompt="x", size="256x256", extra_body={"steps": 1}) for _ in range(2)]
    seeds = [answer.data[0].seed for answer in answers]
    assert seeds[0] != seeds[1]
    assert [seed_of(opened(answer.data[0].b64_json)) for answer in answers] == seeds


def test_a_link_is_fetched_without_a_key(client: openai.OpenAI, host: Host) -> None:
    answer = client.images.generate(
        prompt="x", size="512x512", response_format="url", model="other/name", extra_body={"seed": 5, "steps": 1}
    )
    url = answer.data[0].url
    assert url.startswith(f"{host.url}/v1/images/files/")
    image = httpx.get(url)
    assert image.status_code == 200 and image.headers["content-type"] == "image/webp"
    assert seed_of(Image.open(io.BytesIO(image.content))) == 5


def test_the_asynchronous_client(host: Host) -> None:
    async def several() -> list[int]:
        async with openai.AsyncOpenAI(base_url=f"{host.url}/v1", api_key=KEY, max_retries=0) as client:
            calls = [
                client.images.generate(prompt="x", size="256x256", extra_body={"seed": seed, "steps": 1})
                for seed in range(12)
            ]
            return [seed_of(opened(answer.data[0].b64_json)) for answer in await asyncio.gather(*calls)]

    assert asyncio.run(several()) == list(range(12))


def test_models(client: openai.OpenAI, http: httpx.Client) -> None:
    presets = ["z-image-turbo-2048", "z-image-turbo-1024", "z-image-pro-1024", "z-image-quality"]
    assert [model.id for model in client.models.list()] == ["z-image-turbo", "other/name", *presets]
    assert client.models.retrieve("other/name").id == "other/name"
    assert http.get("/v1/models/other/name").json()["id"] == "other/name"
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("gpt-image-9")
    assert error.value.code == "model_not_found"


def test_presets_and_the_names_that_clients_have_built_in(client: openai.OpenAI) -> None:
    for model, size in [
        ("z-image-turbo-1024", (1024, 1024)),
        ("dall-e-3", (1024, 1024)),
        ("z-image-turbo-2048", (2048, 2048)),
    ]:
        answer = client.images.generate(prompt="x", model=model, extra_body={"seed": 3, "steps": 1})
        made = answer.data[0]
        assert (made.url is None) == (model != "dall-e-3"), "DALL-E answers with links"
        image = opened(made.b64_json or httpx.get(made.url).content)
        assert (image.size, seed_of(image)) == (size, 3), model


def test_what_clients_send_besides_is_taken(client: openai.OpenAI) -> None:
    answer = client.images.generate(
        prompt="x",
        model="z-image-turbo",
        n=1,
        size="256x256",
        quality="low",
        style="vivid",
        user="u",
        background="auto",
        moderation="low",
        response_format="b64_json",
        extra_body={"steps": 1, "unknown": [1]},
    )
    assert opened(answer.data[0].b64_json).size == (256, 256)


@pytest.mark.parametrize("header", ["authorization", "api-key", "x-api-key"])
def test_a_key_is_taken_from_each_header(host: Host, header: str) -> None:
    value = f"bearer {KEY}" if header == "authorization" else KEY
    assert httpx.get(f"{host.url}/v1/models", headers={header: value}).status_code == 200
    wrong = httpx.get(f"{host.url}/v1/models", headers={header: value + "x"})
    assert wrong.status_code == 401 and wrong.json()["error"]["code"] == "invalid_api_key"


def test_healthz_needs_no_key(host: Host) -> None:
    answer = httpx.get(f"{host.url}/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_without_a_configured_key_nobody_is_let_in(space) -> None:
    host = Host(api_keys="", spaces=f"z={space.url}", extra_host=space.url)
    try:
        refused = httpx.get(f"{host.url}/v1/models", headers={"authorization": "Bearer x"})
        assert refused.status_code == 401 and "api_keys" in refused.json()["error"]["message"]
    finally:
        assert host.stop() == 0


def test_open_is_open(space) -> None:
    host = Host(
        api_keys="", auth="open", spaces=f"z={space.url}", extra_host=space.url, public_url="https://img.example/sub/"
    )
    try:
        answer = httpx.post(
            f"{host.url}/v1/images/generations",
            json={"prompt": "x", "size": "256x256", "steps": 1, "response_format": "url"},
            timeout=60,
        )
        assert answer.json()["data"][0]["url"].startswith("https://img.example/sub/v1/images/files/")
    finally:
        assert host.stop() == 0


def test_another_format_than_the_space_made(client: openai.OpenAI, host: Host) -> None:
    fields = {"prompt": "a red fox", "size": "512x256", "extra_body": {"seed": 77, "steps": 1}}
    own = opened(client.images.generate(**fields).data[0].b64_json)
    assert own.format == "WEBP"
    for name in ["png", "jpeg", "webp"]:
        answer = client.images.generate(**fields, output_format=name, output_compression=95)
        image = opened(answer.data[0].b64_json)
        assert image.format.lower() == answer.output_format == name
        assert image.size == (512, 256) and seed_of(image) == 77
        assert difference(image, own) < (0.01 if name != "jpeg" else 3)
        linked = client.images.generate(**fields, output_format=name, response_format="url")
        assert linked.output_format == name and linked.data[0].url.endswith(f".{name}")
        fetched = httpx.get(linked.data[0].url)
        assert fetched.headers["content-type"] == f"image/{name}"
        assert seed_of(Image.open(io.BytesIO(fetched.content))) == 77
        assert httpx.get(linked.data[0].url, headers={"if-none-match": fetched.headers["etag"]}).status_code == 304
    with pytest.raises(openai.BadRequestError) as error:
        client.images.generate(**fields, output_format="bmp")
    assert error.value.param == "output_format"
    small = client.images.generate(**fields, output_format="jpeg", output_compression=5).data[0].b64_json
    large = client.images.generate(**fields, output_format="jpeg", output_compression=100).data[0].b64_json
    assert len(small) * 2 < len(large)
