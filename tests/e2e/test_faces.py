"""The many ways in: paths, keys, origins, Azure's client, variations."""

from __future__ import annotations

import httpx
import pytest
from host import KEY, Host, Shapes
from pictures import opened, plain
from shapes import arguments_of

import openai
from app import seed_of

FIELDS = {"prompt": "x", "size": "256x256", "steps": 1, "seed": 3}


@pytest.mark.parametrize(
    "path",
    ["/v1/images/generations", "/images/generations", "/v1/v1/images/generations", "/v1/images/generations/",
     "/openai/v1/images/generations",
     "/openai/deployments/z-image-turbo/images/generations?api-version=2025-04-01-preview"],
)  # fmt: skip
def test_paths(http: httpx.Client, path: str) -> None:
    answer = http.post(path, json=FIELDS)
    assert answer.status_code == 200, answer.text
    assert seed_of(opened(answer.json()["data"][0]["b64_json"])) == 3


@pytest.mark.parametrize("path", ["/v1/nothing", "/images/nothing", "/openai/x", "/chat/x", "/v1"])
def test_an_unknown_path_is_json(http: httpx.Client, path: str) -> None:
    answer = http.post(path, json=FIELDS)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, f"Invalid URL (POST {path})")


@pytest.mark.parametrize(
    ("path", "status"), [("/embeddings", 404), ("/nowhere/v1/images/generations", 404), ("/", 405)]
)
def test_a_wrong_base_url_is_told_as_json(host: Host, path: str, status: int) -> None:
    client = openai.OpenAI(base_url=host.url, api_key=KEY, max_retries=2)
    with pytest.raises(openai.APIStatusError) as error:
        client.post(path, cast_to=object, body=FIELDS)
    assert error.value.status_code == status and "is the base URL right?" in error.value.body["message"]


def azure(host: Host) -> openai.AzureOpenAI:
    return openai.AzureOpenAI(azure_endpoint=host.url, api_key=KEY, api_version="2025-04-01-preview", max_retries=0)


def test_azures_client(host: Host) -> None:
    client = azure(host)
    fields = {"model": "z-image-turbo", "prompt": "x", "size": "256x256", "extra_body": {"seed": 4, "steps": 1}}
    assert seed_of(opened(client.images.generate(**fields).data[0].b64_json)) == 4
    (event,) = client.images.generate(**fields, stream=True)
    assert seed_of(opened(event.b64_json)) == 4
    with pytest.raises(openai.NotFoundError):
        client.images.generate(model="nothing", prompt="x")
    assert "z-image-turbo" in [model.id for model in client.models.list()]


def test_azures_client_edits(many: Shapes) -> None:
    made = azure(many.host).images.edit(model="editor", prompt="blue", image=("a.png", plain("red")))
    assert arguments_of(opened(made.data[0].b64_json))["image"] == [255, 0, 0]


def test_azures_client_chats(host: Host) -> None:
    client = azure(host)
    chat = {"model": "z-image-turbo", "messages": [{"role": "user", "content": "x --steps 1"}]}
    assert client.chat.completions.create(**chat).choices[0].message.content.startswith("![x](")
    streamed = client.chat.completions.create(**chat, stream=True)
    assert "![x](" in "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
    assert client.responses.create(model="z-image-turbo", input="x --steps 1").output_text.startswith("![x](")


def test_origins(host: Host) -> None:
    url = f"{host.url}/v1/images/generations"
    asked = {
        "origin": "https://chat.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }
    preflight = httpx.options(url, headers=asked)
    assert preflight.status_code == 204 and preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-headers"] == asked["access-control-request-headers"]
    assert "POST" in preflight.headers["access-control-allow-methods"]
    refused = httpx.post(url, json=FIELDS, headers={"origin": "https://chat.example"})
    assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == "*"
    exposed = refused.headers["access-control-expose-headers"]
    assert all(name in exposed for name in ["x-request-id", "retry-after", "x-should-retry"])


def test_variations(many: Shapes, client: openai.OpenAI) -> None:
    made = many.client.images.create_variation(model="editor", image=plain("red"), response_format="b64_json", n=2)
    assert [arguments_of(opened(item.b64_json))["image"] for item in made.data] == [[255, 0, 0]] * 2
    with pytest.raises(openai.BadRequestError) as error:
        client.images.create_variation(image=plain("red"))
    assert error.value.code == "unsupported_by_model"
