"""Habits of clients: what they send beside OpenAI's letter, and what they make of the answer."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import httpx
import pytest
from host import KEY, Host, Shapes, Space
from liar import Liar, large
from pictures import data_url, events, opened, plain
from shapes import arguments_of

import openai

RED = plain("red", (64, 64))
CATALOG = """
[models.linked]
spaces = ["{url}"]
response_format = "url"
"""


@pytest.fixture(scope="module")
def server(space: Space, many: Shapes, liar: Liar) -> Iterator[Host]:
    models = {"z": space.url, "liar": liar.url} | {name: many.urls[name] for name in ("editor", "several")}
    host = Host(
        spaces=",".join(f"{name}={url}" for name, url in models.items()),
        catalog=CATALOG.format(url=space.url),
        extra_host="http://127.0.0.1:*",
    )
    yield host
    assert host.stop() == 0
    assert "panicked" not in "".join(host.log)


@pytest.fixture(scope="module")
def http(server: Host) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        yield client


def made(answer: httpx.Response) -> dict:
    """The arguments that the images of an answer show."""
    assert answer.status_code == 200, answer.text[:500]
    (item,) = answer.json()["data"]
    return arguments_of(opened(item["b64_json"] if "b64_json" in item else httpx.get(item["url"]).content))


def form(parts: list[tuple[str, str, bytes]]) -> tuple[bytes, dict[str, str]]:
    """A form of parts with a name, more of its head and the content."""
    body = b"".join(
        f'--x\r\ncontent-disposition: form-data; name="{name}"{head}\r\n\r\n'.encode() + content + b"\r\n"
        for name, head, content in parts
    )
    return body + b"--x--\r\n", {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize("kind", ["data URL", "base64", "list", "link"])
def test_an_image_sent_to_generations_is_edited(http: httpx.Client, kind: str) -> None:
    url = data_url(RED)
    if kind == "link":
        fields = {"model": "editor", "prompt": "x", "images": [url], "response_format": "url"}
        url = http.post("/v1/images/edits", json=fields).json()["data"][0]["url"]
    image = {"base64": url.partition(",")[2], "list": [url, None]}.get(kind, url)
    shown = made(http.post("/v1/images/generations", json={"model": "editor", "prompt": "blue", "image": image}))
    assert shown["image"] is not None and (kind == "link" or shown["image"] == [255, 0, 0])


def test_an_image_sent_to_who_cannot_edit_is_refused_and_none_is_none(http: httpx.Client) -> None:
    fields = {"model": "z", "prompt": "x", "size": "256x256", "steps": 1}
    answer = http.post("/v1/images/generations", json=fields | {"image": data_url(plain("red", (1500, 1500)))})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, "image", "unsupported_by_model")
    for nothing in (None, "", [], [None]):
        assert http.post("/v1/images/generations", json=fields | {"image": nothing, "mask": nothing}).status_code == 200
    large_image = "data:image/png;base64," + "A" * (2 << 20)
    answer = http.post("/v1/images/generations", json=fields | {"image": large_image})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "image"), "as large as edits may be"


@pytest.mark.parametrize(
    ("fields", "form_of_it"),
    [
        ({"model": "dall-e-3"}, "url"),
        ({"model": "DALL-E-2"}, "url"),
        ({"model": "gpt-image-1"}, "b64_json"),
        ({"model": "z"}, "b64_json"),
        ({}, "b64_json"),
        ({"model": "linked"}, "url"),
        ({"model": "linked", "response_format": "b64_json"}, "b64_json"),
        ({"model": "dall-e-3", "response_format": "b64_json"}, "b64_json"),
        ({"model": "dall-e-3", "response_format": None}, "url"),
    ],
)
def test_the_form_of_an_answer_is_the_models_where_nothing_is_said(
    http: httpx.Client, fields: dict, form_of_it: str
) -> None:
    answer = http.post("/v1/images/generations", json={"prompt": "x", "size": "256x256", "steps": 1} | fields)
    if fields.get("model") == "DALL-E-2":
        assert answer.status_code in (200, 404)
        return
    (item,) = answer.json()["data"]
    assert form_of_it in item and len({"url", "b64_json"} & set(item)) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/models",
        "/openai/v1/models",
        "/openai/models?api-version=2025-04-01-preview",
        "/v1//models",
        "/v1/models/",
    ],
)
def test_every_base_leads_to_the_same(http: httpx.Client, path: str) -> None:
    assert http.get(path).json() == http.get("/v1/models").json()


def test_slashes_are_doubled_and_azure_edits_without_a_deployment(server: Host, http: httpx.Client) -> None:
    for path in ("//v1//models", "/api//v1///models"):
        url = httpx.URL(server.url)
        with socket.create_connection((url.host, url.port), timeout=30) as connection:
            head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 200 "), path
    answer = http.post(
        "/openai/images/edits?api-version=2025-04-01-preview",
        data={"model": "editor", "prompt": "blue"},
        files={"image": ("a.png", RED, "image/png")},
    )
    assert made(answer)["image"] == [255, 0, 0]


@pytest.mark.parametrize("prompt", ["fault: exception", "fault: no image"])
def test_what_no_other_try_mends_is_tried_once_by_who_goes_by_the_status(server: Host, prompt: str) -> None:
    tried = []

    class Counting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            # As a client that knows no such header.
            answer.headers.pop("x-should-retry", None)
            tried.append(answer.status_code)
            return answer

    client = openai.OpenAI(
        base_url=f"{server.url}/v1", api_key=KEY, max_retries=2, http_client=httpx.Client(transport=Counting())
    )
    with client, pytest.raises(openai.UnprocessableEntityError):
        client.images.generate(model="z", prompt=prompt)
    assert tried == [422]


FORMS = {
    "image[] alone": [("image[]", '; filename="a.png"\r\ncontent-type: image/png', RED)],
    "image[0]": [("image[0]", '; filename="a.png"\r\ncontent-type: image/png', RED)],
    "no file name": [("image", "", RED)],
    "no type": [("image", '; filename="a.png"', RED)],
    "a data URL": [("image", "", data_url(RED).encode())],
    "one that is empty": [("mask", '; filename=""', b""), ("image", '; filename="a.png"', RED)],
}


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_is_read_as_clients_write_it(http: httpx.Client, kind: str) -> None:
    texts = {"model": "editor", "prompt": "blue", "n": "1.0", "seed": "7", "size": "", "stream": "False", "user": ""}
    body, headers = form([*FORMS[kind], *((name, "", text.encode()) for name, text in texts.items())])
    answer = http.post("/v1/images/edits", content=body, headers=headers)
    assert made(answer)["image"] == [255, 0, 0]
    assert answer.json()["data"][0]["seed"] == 7


def test_a_form_without_files(http: httpx.Client) -> None:
    texts = {"model": "z", "prompt": "a fox", "size": "256x256", "steps": "1", "seed": "7", "n": "2"}
    for files in (None, {"ignored": ("x.bin", b"x")}):
        answer = http.post("/v1/images/generations", data=texts, files=files)
        assert [item["seed"] for item in answer.json()["data"]] == [7, 8], answer.text[:300]
    edit = {"model": "editor", "prompt": "blue", "image[]": data_url(RED)}
    assert made(http.post("/v1/images/edits", data=edit))["image"] == [255, 0, 0]


def test_nulls_and_numbers_as_texts_are_taken(http: httpx.Client) -> None:
    own = "n size quality response_format output_format output_compression background moderation stream style user"
    beside = "partial_images steps negative_prompt guidance_scale sampler width height metadata extra_body async"
    nulls = dict.fromkeys([*own.split(), *beside.split(), "image", "images", "mask", "webhook_url", "priority"])
    answer = http.post("/v1/images/generations", json=nulls | {"prompt": "x", "model": "z", "seed": "7"}).json()
    assert answer["data"][0]["seed"] == 7
    numbers = [answer["created"], *(value for value in answer["usage"].values() if not isinstance(value, dict))]
    assert all(type(number) is int for number in numbers)
    chat = dict.fromkeys(
        ["stream", "stream_options", "modalities", "temperature", "tools", "n", "image_config", "stop"]
    )
    messages = [{"role": "system", "content": None}, {"role": "user", "content": "x --size 256x256", "name": None}]
    assert http.post("/v1/chat/completions", json=chat | {"model": "z", "messages": messages}).status_code == 200
    response = dict.fromkeys(["stream", "store", "tools", "previous_response_id", "background", "metadata", "include"])
    assert http.post("/v1/responses", json=response | {"model": "z", "input": "x --size 256x256"}).status_code == 200


@pytest.mark.parametrize("include_usage", [True, False])
def test_the_chunks_of_a_chat_are_openais(http: httpx.Client, include_usage: bool) -> None:
    fields = {"model": "z", "messages": [{"role": "user", "content": "x --size 256x256"}], "stream": True}
    if include_usage:
        fields["stream_options"] = {"include_usage": True}
    *chunks, done = [data for _, data in events(http.post("/v1/chat/completions", json=fields))]
    assert done == "[DONE]" and len({chunk["id"] for chunk in chunks}) == 1
    assert re.fullmatch(r"chatcmpl-\w+", chunks[0]["id"])
    last = chunks.pop() if include_usage else None
    assert all(("usage" in chunk) == include_usage and not chunk.get("usage") for chunk in chunks)
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    if last:
        assert last["choices"] == [] and all(type(count) is int for count in last["usage"].values())


def test_an_image_of_a_response_that_is_not_stored_comes_back_with_its_item(server: Host) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        tool = {"type": "image_generation", "size": "256x256", "output_format": "jpeg", "quality": "low"}
        sent = [{"type": "input_text", "text": "blue"}, {"type": "input_image", "image_url": data_url(RED)}]
        given = [{"role": "user", "content": sent}]
        first = client.responses.create(model="editor", input=given, tools=[tool], store=False)
        (call,) = first.output
        assert call.id.startswith("ig_") and (call.output_format, call.quality) == ("jpeg", "low")
        image = opened(call.result)
        assert (image.format, call.size) == ("JPEG", f"{image.width}x{image.height}")
        ask = {"role": "user", "content": "make the last image blue"}
        again = client.responses.create(model="editor", input=[call.model_dump(), ask], tools=[tool], store=False)
        assert again.output[0].action == "edit"
        with pytest.raises(openai.BadRequestError) as error:
            gone = {"type": "item_reference", "id": call.id}
            client.responses.create(model="editor", input=[gone, ask], tools=[tool])
        assert error.value.code == "previous_response_not_found"


def test_pages_of_any_origin_may_read_links_errors_and_streams(http: httpx.Client) -> None:
    page = {"origin": "https://chat.example"}
    fields = {"model": "z", "prompt": "x", "size": "256x256", "steps": 1, "response_format": "url"}
    linked = http.post("/v1/images/generations", json=fields, headers=page)
    url = linked.json()["data"][0]["url"]
    wrong = {"authorization": "Bearer sk-wrong"}
    answers = [
        linked,
        httpx.get(url, headers=page | wrong),
        httpx.get(url.replace("/files/", "/files/x"), headers=page | wrong),
        http.post("/v1/images/generations", json={}, headers=page),
        http.post("/v1/images/generations", json=fields | {"stream": True}, headers=page),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 403, 400, 200]
    assert {answer.headers["access-control-allow-origin"] for answer in answers} == {"*"}


def test_links_that_lead_elsewhere_than_a_proxy_says_are_logged_once(space: Space) -> None:
    host = Host(spaces=f"z={space.url}", extra_host=space.url)
    proxied = {"x-forwarded-proto": "https", "x-forwarded-host": "images.example"}
    for _ in range(3):
        answer = httpx.get(f"{host.url}/v1/models", headers=proxied | {"authorization": f"Bearer {KEY}"})
        assert answer.status_code == 200
    assert host.stop() == 0
    (line,) = [line for line in host.log if "public_url" in line]
    assert "https://images.example instead of http://127.0.0.1" in line
    silent = Host(spaces=f"z={space.url}", extra_host=space.url, public_url="https://images.example")
    httpx.get(f"{silent.url}/v1/models", headers=proxied)
    assert silent.stop() == 0 and "public_url" not in "".join(silent.log)


def test_a_space_that_answers_with_the_image_itself_has_links_and_a_history(http: httpx.Client) -> None:
    """Of several megabytes, which the database keeps in parts."""
    expected = large("inline 3")
    fields = {"model": "liar", "prompt": "inline 3"}
    by_link = http.post("/v1/images/generations", json=fields | {"response_format": "url"}).json()["data"][0]["url"]
    chat = {"model": "liar", "messages": [{"role": "user", "content": "inline 3"}], "stream": True}
    answer = http.post("/v1/chat/completions", json=chat)
    assert max(map(len, answer.content.split(b"\n"))) < 64 << 10
    said = "".join(chunk["choices"][0]["delta"].get("content") or "" for _, chunk in events(answer)[:-1])
    in_chat = re.search(r"\((http.*?)\)", said).group(1)
    task = http.post("/v1/images/generations", json=fields | {"async": True}).json()
    with http.stream("GET", f"/v1/tasks/{task['id']}/events") as stream:
        *_, last = [line for line in stream.iter_lines() if line.startswith("data: ")]
    of_task = json.loads(last.removeprefix("data: "))["task"]["data"][0]["url"]
    listed = http.get("/v1/images", params={"q": "inline 3"}).json()["data"]
    for url in (by_link, in_chat, of_task, *(image["url"] for image in listed)):
        assert url.startswith("http") and httpx.get(url).content == expected
    part = httpx.get(by_link, headers={"range": f"bytes={(1 << 20) - 1}-{1 << 20}"})
    assert (part.status_code, part.content) == (206, expected[(1 << 20) - 1 : (1 << 20) + 1])
