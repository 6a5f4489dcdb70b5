"""Spaces that are odd in ways that real ones are, on three generations of Gradio: images are told by their pixels."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from balancer import Balancer
from host import KEY, ROOT, Host
from image_host import ImageHost
from PIL import Image
from shapes import arguments_of

PYTHONS = {"4": os.environ.get("GRADIO4_PYTHON"), "5": os.environ.get("GRADIO5_PYTHON"), "6": sys.executable}
ENDPOINTS = [
    *[f"updates_{name}" for name in ["update", "component", "gallery", "yields"]],
    *["sliders_stepless", "sliders_few_seeds"],
    *[f"outputs_{name}" for name in ["with_video", "annotated", "edited", "file", "files", "names", "elsewhere"]],
    *[f"inputs_{name}" for name in ["optional", "inpaint", "stateful", "choices"]],
]
PAIRS = ["outputs_pair", "outputs_half_pair"]
VALIDATED = "inputs_validated"


def png(colour: tuple[int, int, int], size: tuple[int, int] = (96, 64)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "png")
    return buffer.getvalue()


class OddSpaces:
    """The odd Spaces on one generation of Gradio, a balancer before two replicas, and the application before all."""

    def __init__(self, version: str, python: str) -> None:
        self.version = version
        command = [python, ROOT / "tests/space/odd.py"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(python).parent)
        line = next(line for line in self.process.stdout if line.startswith("Spaces at "))
        urls: dict[str, str] = json.loads(line.removeprefix("Spaces at "))
        self.balancer = Balancer(urls["odd"], urls["twin"])
        self.hidden = Balancer(urls["hidden"])
        self.hidden.refusals["/info"] = [(500, {})] * 20
        names = ENDPOINTS + ([] if version == "4" else [*PAIRS, VALIDATED])
        spaces = [f"{name}={urls['odd']}/{name}" for name in names]
        # What its quota does to a Space is to be nobody else's.
        spaces += [f"quota={urls['twin']}/quota"]
        spaces += [f"balanced={self.balancer.url}/inputs_optional", f"hidden={self.hidden.url}"]
        spaces += [f"hosted={self.balancer.url}/outputs_elsewhere"]
        self.images, self.stranger = ImageHost(), ImageHost()
        hosts = f"https://cdn.listed.example, {self.images.url}"
        self.host = Host(spaces=",".join(spaces), image_hosts=hosts, extra_host="http://127.0.0.1:*")
        self.http = httpx.Client(base_url=self.host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60)

    def stop(self) -> None:
        self.http.close()
        status = self.host.stop()
        self.process.kill()
        self.process.wait(20)
        self.balancer.stop()
        self.hidden.stop()
        self.images.stop()
        self.stranger.stop()
        log = "".join(self.host.log)
        assert status == 0
        assert "panicked" not in log and "replica=" not in log

    def post(self, model: str, prompt: str = "a red fox", **fields) -> httpx.Response:
        return self.http.post("/v1/images/generations", json={"model": model, "prompt": prompt, **fields})

    def make(self, model: str, prompt: str = "a red fox", **fields) -> tuple[list[dict], dict]:
        """What the images were made from, and the answer."""
        return told(self.post(model, prompt, **fields))

    def edit(self, model: str, files: list, **fields) -> tuple[list[dict], dict]:
        data = {"model": model, "prompt": "a red fox"} | fields
        return told(self.http.post("/v1/images/edits", data=data, files=files))


def told(answer: httpx.Response) -> tuple[list[dict], dict]:
    assert answer.status_code == 200, answer.text[:500]
    made = answer.json()
    images = [Image.open(io.BytesIO(base64.b64decode(item["b64_json"]))) for item in made["data"]]
    return [arguments_of(image) | {"size": list(image.size)} for image in images], made


@pytest.fixture(scope="module", params=["4", "5", "6"])
def odd(request: pytest.FixtureRequest) -> Iterator[OddSpaces]:
    python = PYTHONS[request.param]
    assert python, f"GRADIO{request.param}_PYTHON must name a Python with Gradio {request.param}"
    odd = OddSpaces(request.param, python)
    yield odd
    odd.stop()


@pytest.mark.parametrize(("name", "offset"), [("update", 1), ("component", 2), ("yields", 4)])
def test_an_output_may_be_an_update(odd: OddSpaces, name: str, offset: int) -> None:
    (made,), answer = odd.make(f"updates_{name}", seed=5)
    assert (made["prompt"], made["seed"]) == ("a red fox", 5)
    assert answer["data"][0]["seed"] == 5 + offset, "the seed that the Space has told"


def test_a_gallery_may_be_an_update(odd: OddSpaces) -> None:
    odd.make("updates_gallery")
    made, answer = odd.make("updates_gallery", seed=5, n=3)
    assert [one["number"] for one in made] == [0, 1, 2]
    assert [item["seed"] for item in answer["data"]] == [8, 9, 10]


def test_an_update_may_come_in_a_stream(odd: OddSpaces) -> None:
    answer = odd.post("updates_yields", seed=5, stream=True, partial_images=1)
    events = [
        json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: {")
    ]
    kinds = [event["type"] for event in events]
    assert "image_generation.partial_image" in kinds and kinds[-1] == "image_generation.completed", kinds


def test_a_slider_without_a_step_is_no_grid(odd: OddSpaces) -> None:
    for seed in [42, 43]:
        (made,), answer = odd.make("sliders_stepless", seed=seed, steps=20, size="1023x1000", guidance_scale=7.25)
        assert made == {
            "prompt": "a red fox",
            "steps": 20,
            "seed": seed,
            "guidance": 7.25,
            "size": [1023, 1024],
        }, "an explicit step of 64 is one"
        assert (answer["data"][0]["seed"], answer["size"]) == (seed, "1023x1024")


def test_seeds_stay_different_in_a_small_range(odd: OddSpaces) -> None:
    made, answer = odd.make("sliders_few_seeds", seed=1_999_998, n=4)
    assert [one["seed"] for one in made] == [999_998, 999_999, 0, 1]
    assert [item["seed"] for item in answer["data"]] == [999_998, 999_999, 0, 1], "what was sent is what is answered"


def test_a_video_among_images(odd: OddSpaces) -> None:
    odd.make("outputs_with_video")
    made, _ = odd.make("outputs_with_video", n=2)
    assert [one["number"] for one in made] == [0, 1]


@pytest.mark.parametrize("name", ["annotated", "edited", "file", "files", "pair", "half_pair"])
def test_an_image_is_found_in_other_components(odd: OddSpaces, name: str) -> None:
    if odd.version == "4" and name in ["pair", "half_pair"]:
        pytest.skip("Gradio 4 has no such component")
    answer = odd.post(f"outputs_{name}")
    assert answer.status_code == 200, answer.text[:500]
    image = Image.open(io.BytesIO(base64.b64decode(answer.json()["data"][0]["b64_json"])))
    assert image.size == (128, 64)
    if image.format == "PNG":
        side = {"pair": {"side": "after"}, "half_pair": {"side": "before"}}.get(name, {})
        assert arguments_of(image) == {"prompt": "a red fox"} | side


def test_an_editor_takes_the_image_and_the_mask(odd: OddSpaces) -> None:
    files = [("image", ("in.png", png((10, 20, 30)))), ("mask", ("mask.png", png((255, 255, 255))))]
    (made,), _ = odd.edit("inputs_inpaint", files)
    assert (made["image"], made["size"]) == ([10, 20, 30], [96, 64])
    assert made["painted"] == [[255, 255, 255, 255]] * 2, "what is white is painted"
    mask, buffer = Image.new("RGBA", (96, 64), (0, 0, 0, 255)), io.BytesIO()
    mask.paste((0, 0, 0, 0), (0, 0, 48, 64))
    mask.save(buffer, "png")
    (made,), _ = odd.edit("inputs_inpaint", [files[0], ("mask", ("mask.png", buffer.getvalue()))])
    assert made["painted"] == [[255, 255, 255, 255], [0, 0, 0, 0]], "and where OpenAI's are transparent"


def test_an_optional_image_makes_no_editor(odd: OddSpaces) -> None:
    (made,), _ = odd.make("inputs_optional", seed=3)
    assert (made["image"], made["seed"]) == (None, 3)
    (made,), _ = odd.edit("inputs_optional", [("image", ("in.png", png((10, 20, 30))))], seed="4")
    assert (made["image"], made["seed"]) == ([10, 20, 30], 4)


def test_states_and_hidden_inputs_in_between(odd: OddSpaces) -> None:
    (made,), _ = odd.make("inputs_stateful", seed=3)
    assert (made["secret"], made["seed"], made["states"]) == (7, 3, [None, None])


def test_a_hidden_function_of_a_space_without_a_description(odd: OddSpaces) -> None:
    (made,), _ = odd.make("hidden", seed=3)
    assert (made["prompt"], made["seed"]) == ("a red fox", 3)


def test_what_a_validator_refuses_is_told_with_its_parameter(odd: OddSpaces) -> None:
    if odd.version == "4":
        assert VALIDATED not in [one["id"] for one in odd.http.get("/v1/models").json()["data"]], "it has none"
        return
    (made,), _ = odd.make(VALIDATED, steps=5)
    assert made["steps"] == 5
    for prompt, steps, param, words in [("fox", 4, "prompt", "Too short."), ("a red fox", 20, "steps", "Too many.")]:
        answer = odd.post(VALIDATED, prompt=prompt, steps=steps)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["message"]) == (400, param, words), answer.text
        assert (error["code"], answer.headers["x-should-retry"]) == ("rejected_by_space", "false")


def test_a_quota_is_told_with_its_end(odd: OddSpaces) -> None:
    answer = odd.post("quota")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (429, "insufficient_quota"), answer.text
    assert 500 < int(answer.headers["retry-after"]) <= 588
    assert "Create a free account" in error["message"] and "<a" not in error["message"]


def test_file_names_of_any_kind(odd: OddSpaces) -> None:
    odd.make("outputs_names")
    made, _ = odd.make("outputs_names", n=3)
    assert [one["name"] for one in made] == ["50% off #1.png", "no ending", "wrong ending.jpg"]
    answer = odd.post("outputs_names", response_format="url", n=3).json()
    for item in answer["data"]:
        image = httpx.get(item["url"])
        assert (image.status_code, image.headers["content-type"]) == (200, "image/png"), image.text[:300]


def test_an_image_at_another_host_is_told_without_blame(odd: OddSpaces) -> None:
    def status() -> dict:
        spaces = odd.http.get("/v1/spaces").json()["data"]
        (one,) = [space for space in spaces if "outputs_elsewhere" in space["models"]]
        return one

    before = status()["failures"]
    answer = odd.post("outputs_elsewhere", prompt="https://cdn.example/a.png")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "image_elsewhere"), answer.text
    assert "cdn.example" in error["message"] and answer.headers["x-should-retry"] == "false"
    assert status()["failures"] == before


def test_an_image_at_a_host_that_is_listed_is_fetched_from_there_alone(odd: OddSpaces) -> None:
    odd.images.seen.clear()
    url = f"{odd.images.url}/a%20b.png?sign=1"
    by_base64 = base64.b64decode(odd.post("hosted", prompt=url).json()["data"][0]["b64_json"])
    link = odd.post("hosted", prompt=url, response_format="url").json()["data"][0]["url"]
    messages = [{"role": "user", "content": json.dumps({"prompt": url})}]
    chat = odd.http.post("/v1/chat/completions", json={"model": "hosted", "messages": messages, "stream": True}).text
    chunks = [json.loads(line.removeprefix("data: ")) for line in chat.splitlines() if line.startswith("data: {")]
    content = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    shown = re.search(r"\]\((.*?)\)", content)[1]
    assert all(one.startswith(f"{odd.host.url}/v1/images/files/") for one in [link, shown])
    assert by_base64 == httpx.get(link).content == httpx.get(shown).content == odd.images.image
    assert [path for path, _ in odd.images.seen] == ["/a%20b.png?sign=1"] * 3, "links lead to what is kept here"
    for _, headers in odd.images.seen:
        assert not {"authorization", "x-hf-authorization", "cookie", "referer"} & headers.keys(), headers
    assert any(call[1] for call in odd.balancer.seen), "the Space's own calls have its cookie"


@pytest.mark.parametrize("path", ["/moved.png", "/page", "/large.png"])
def test_a_host_that_is_listed_and_gives_no_image_is_named(odd: OddSpaces, path: str) -> None:
    odd.images.seen.clear()
    answer = odd.post("hosted", prompt=f"{odd.images.url}{path}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (502, "image_host_failed"), answer.text
    assert odd.images.url.removeprefix("http://") in error["message"]
    assert [seen for seen, _ in odd.images.seen] == [path], "a redirect is not followed, and nothing is made again"


def test_a_host_that_is_not_listed_is_not_asked(odd: OddSpaces) -> None:
    for url in [f"{odd.stranger.url}/a.png", odd.images.url.replace("http://", f"{odd.stranger.url}@") + "/a.png"]:
        assert odd.post("hosted", prompt=url).json()["error"]["code"] == "image_elsewhere", url
    answer = odd.post("hosted", prompt="https://cdn.listed.example/a.png")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "image_host_not_allowed"), "the host has a list of its own"
    assert "cdn.listed.example" in error["message"] and "extra_image_host" in error["message"]
    assert odd.stranger.seen == []


def test_a_job_stays_at_its_replica(odd: OddSpaces) -> None:
    odd.balancer.seen.clear()
    for _ in range(2):
        odd.edit("balanced", [("image", ("in.png", png((10, 20, 30))))])
    calls = [call for call in odd.balancer.seen if call[0] not in ["/config", "/info"]]
    jobs = [calls[: len(calls) // 2], calls[len(calls) // 2 :]]
    for job in jobs:
        (first, *rest) = job
        assert first[:2] == ("/upload", None), "a job begins without a cookie"
        assert [call[0].split("=")[0] for call in rest] == ["/queue/join", "/queue/data", "/file"], rest
        assert all(call[1:] == (f"replica={first[2]}", first[2]) for call in rest), job


def test_a_job_is_cancelled_at_its_replica(odd: OddSpaces) -> None:
    odd.balancer.seen.clear()
    fields = {"model": "balanced", "prompt": "slow", "stream": True, "progress": True}
    with odd.http.stream("POST", "/v1/images/generations", json=fields) as answer:
        next(answer.iter_lines())
        deadline = time.monotonic() + 30
        while not any(call[0] == "/queue/data" for call in odd.balancer.seen):
            assert time.monotonic() < deadline, odd.balancer.seen
            time.sleep(0.05)
    deadline = time.monotonic() + 30
    while not (cancels := [call for call in odd.balancer.seen if call[0] == "/cancel"]):
        assert time.monotonic() < deadline, odd.balancer.seen
        time.sleep(0.05)
    (join,) = [call for call in odd.balancer.seen if call[0] == "/queue/join"]
    assert cancels[0][1:] == (f"replica={join[2]}", join[2])


def test_a_space_that_is_asked_too_often_says_for_how_long(odd: OddSpaces) -> None:
    balancer = Balancer(f"http://{odd.balancer.replicas[0]}")
    balancer.refusals["/config"] = [(429, {"retry-after": "1"})]
    host = Host(spaces=f"busy={balancer.url}/inputs_optional", extra_host="http://127.0.0.1:*")
    call = {"model": "busy", "prompt": "x"}
    with httpx.Client(base_url=host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        answer = client.post("/v1/images/generations", json=call)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "server_is_overloaded"), answer.text
        assert answer.headers["retry-after"] == "1"
        deadline = time.monotonic() + 30
        while client.post("/v1/images/generations", json=call).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    host.stop()
    balancer.stop()


def test_choices_of_a_space_are_models(odd: OddSpaces) -> None:
    expected = ["Base", "Turbo, 8 steps", "org/fine tune", "Ink", "Photo"]
    deadline = time.monotonic() + 30
    while True:
        listed = odd.http.get("/v1/models").json()["data"]
        names = [one["id"] for one in listed if one.get("choice_of") == "inputs_choices"]
        if names or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert names == [f"inputs_choices/{name}" for name in expected]
    (made,), _ = odd.make("inputs_choices/Turbo, 8 steps", seed=1)
    assert (made["model"], made["style"]) == ("org/turbo", "None")
    (made,), _ = odd.make("inputs_choices/ink", seed=1)
    assert (made["model"], made["style"]) == ("Base", "Ink")
    details = odd.http.get("/v1/models/inputs_choices/org%2Ffine%20tune").json()
    assert (details["id"], details["choice_of"]) == ("inputs_choices/org/fine tune", "inputs_choices")
    answer = odd.post("inputs_choices/nonsense")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model"), answer.text
    task = odd.http.post(
        "/v1/images/generations", json={"model": "inputs_choices/Photo", "prompt": "x", "async": True}
    ).json()
    deadline = time.monotonic() + 30
    while (state := odd.http.get(f"/v1/tasks/{task['id']}").json())["status"] not in ["succeeded", "completed"]:
        assert time.monotonic() < deadline and state["status"] != "failed", state
        time.sleep(0.1)
    assert state["model"] == "inputs_choices/Photo"
