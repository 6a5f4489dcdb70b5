"""Spaces of many shapes, on three generations of Gradio, each only named: images are told by their pixels."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Iterator

import httpx
import pytest
from host import KEY, Shapes
from PIL import Image
from shapes import arguments_of

import openai

PYTHONS = {"4": os.environ.get("GRADIO4_PYTHON"), "5": os.environ.get("GRADIO5_PYTHON"), "6": sys.executable}


@pytest.fixture(scope="module", params=["4", "5", "6"])
def shapes(request: pytest.FixtureRequest) -> Iterator[Shapes]:
    python = PYTHONS[request.param]
    assert python, f"GRADIO{request.param}_PYTHON must name a Python with Gradio {request.param}"
    shapes = Shapes(python)
    yield shapes
    shapes.stop()


def test_flux(shapes: Shapes) -> None:
    (image,), answer = shapes.make("flux-schnell", size="768x512", seed=7)
    assert image.size == (768, 512)
    assert arguments_of(image) == {"prompt": "a red fox", "seed": 7, "steps": 4}
    assert (answer.data[0].seed, answer.size, answer.output_format) == (7, "768x512", "png")

    (image,), _ = shapes.make("flux-dev", size="1000x600", seed=8, steps=70, guidance_scale=2.04)
    assert image.size == (992, 608), "onto the sliders' steps of 32"
    assert arguments_of(image) == {"prompt": "a red fox", "seed": 8, "guidance": 2.04, "steps": 50}
    images, _ = shapes.make("flux-dev", size="256x256", n=3, seed=100, quality="low")
    assert [arguments_of(image)["seed"] for image in images] == [100, 101, 102]
    assert arguments_of(images[0])["steps"] == 14, "half of the Space's 28"


def test_qwen_image(shapes: Shapes) -> None:
    (image,), answer = shapes.make("qwen-image", size="1024x1536", seed=5, prompt_enhance=False, steps=3)
    assert image.size == (768, 1344), "the nearest of its aspect ratios"
    assert answer.size == "768x1344", "the size as made"
    assert arguments_of(image) == {"prompt": "a red fox", "seed": 5, "guidance": 4, "steps": 3, "enhance": False}
    (image,), _ = shapes.make("qwen-image", seed=5)
    assert image.size == (1344, 768), "the Space's own default"


def test_sd35_with_a_sessions_state(shapes: Shapes) -> None:
    (image,), _ = shapes.make("sd35", size="2048x1024", seed=1, negative_prompt="blur", guidance_scale=9)
    assert image.size == (1024, 512), "both sides shrink where one is too long"
    assert arguments_of(image) == {"prompt": "a red fox", "negative": "blur", "seed": 1, "guidance": 7.5, "steps": 40}


def test_sdxl_makes_several_at_once(shapes: Shapes) -> None:
    images, answer = shapes.make("sdxl", n=6, size="512x512", seed=50, sampler="ddim")
    made = [arguments_of(image) for image in images]
    assert [item["seed"] for item in made] == [50, 51, 52, 53, 54, 55] == [item.seed for item in answer.data]
    assert all(item["scheduler"] == "DDIM" and item["negative"] == "ugly" and item["steps"] == 25 for item in made)


def test_chinese_labels_and_names_that_say_nothing(shapes: Shapes) -> None:
    (image,), _ = shapes.make("chinese", size="640x480", seed=3, negative_prompt="低质量", steps=10)
    assert image.size == (640, 480)
    assert arguments_of(image) == {"prompt": "a red fox", "negative": "低质量", "steps": 10, "seed": 3}


def test_tongyi_with_a_size_as_a_choice(shapes: Shapes) -> None:
    (image,), answer = shapes.make("tongyi", size="1536x1024", seed=11, shift=4.5)
    assert image.size == (1248, 832)
    assert arguments_of(image)["shift"] == 4.5 and answer.data[0].seed == 11
    images, _ = shapes.make("tongyi", size="512x512", n=2, seed=20)
    assert [(image.size, arguments_of(image)["seed"]) for image in images] == [((512, 512), 20), ((512, 512), 21)]


def test_a_function_without_a_usual_name(shapes: Shapes) -> None:
    (image,), _ = shapes.make("unnamed", size="512x256")
    assert image.size == (512, 256)
    assert arguments_of(image) == {"prompt": "a red fox", "again": True}


def test_steps_as_a_choice_and_an_image_in_a_text(shapes: Shapes) -> None:
    (image,), _ = shapes.make("lightning", steps=7)
    assert arguments_of(image) == {"prompt": "a red fox", "ckpt": "8-Step"}


def test_a_generator_and_a_format_of_the_spaces_own(shapes: Shapes) -> None:
    (image,), answer = shapes.make("generator", seed=6, steps=5, output_format="png")
    assert arguments_of(image) == {"prompt": "a red fox", "format": "PNG", "seed": 6, "step": 4}, (
        "the last that it yields"
    )
    assert answer.output_format == "png"
    headers = {"authorization": f"Bearer {KEY}"}
    details = httpx.get(f"{shapes.host.url}/v1/models/generator", headers=headers).json()
    assert details["capabilities"]["partial_images"]


def test_what_names_nothing_is_told(shapes: Shapes) -> None:
    url, headers = f"{shapes.host.url}/v1/images/generations", {"authorization": f"Bearer {KEY}"}
    fields = {"model": "flux-dev", "prompt": "x", "size": "256x256", "steps": 1, "lora": "x", "guidance_scale": 1}
    answer = httpx.post(url, json=fields, headers=headers, timeout=60)
    assert (answer.status_code, answer.headers["x-ignored-parameters"]) == (200, "lora")


def test_capabilities(shapes: Shapes) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    details = httpx.get(f"{shapes.host.url}/v1/models/sdxl", headers=headers).json()
    assert (details["id"], details["object"]) == ("sdxl", "model")
    parameters = {item["name"]: item for item in details["capabilities"]["parameters"]}
    assert parameters["steps"]["role"] == "steps" and parameters["steps"]["maximum"] == 60
    assert parameters["sampler"]["choices"] == ["Euler", "DPM++ 2M Karras", "DDIM"]
    assert details["capabilities"]["batch"] and not details["capabilities"]["edits"]
    assert details["spaces"][0]["state"] == "ready" and details["spaces"][0]["endpoint"] == "run"
    tongyi = httpx.get(f"{shapes.host.url}/v1/models/tongyi", headers=headers).json()
    assert tongyi["capabilities"]["sizes"][1] == "1248x832 ( 3:2 )"
    editor = httpx.get(f"{shapes.host.url}/v1/models/editor", headers=headers).json()["capabilities"]
    assert editor["edits"] and not editor["generations"] and "edit_parameters" not in editor
    unnamed = httpx.get(f"{shapes.host.url}/v1/models/unnamed", headers=headers).json()["capabilities"]
    assert [item["role"] for item in unnamed["edit_parameters"]] == ["image", "prompt"], "another function edits"


def png(colour: tuple[int, int, int], size: tuple[int, int] = (320, 256)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "png")
    return buffer.getvalue()


def opened(answer) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(item.b64_json))) for item in answer.data]


def test_an_edit_with_a_mask(shapes: Shapes) -> None:
    answer = shapes.client.images.edit(
        model="editor", image=("in.png", png((10, 20, 30))), mask=("mask.png", png((1, 1, 1))),
        prompt="make it blue", n=2,
        extra_body={"seed": 5, "strength": 0.4},
    )  # fmt: skip
    images = opened(answer)
    made = {"prompt": "make it blue", "image": [10, 20, 30], "mask": [1, 1, 1], "strength": 0.4}
    assert [arguments_of(image) for image in images] == [made | {"seed": 5}, made | {"seed": 6}]
    assert images[0].size == (320, 256)


def test_a_file_that_no_space_takes_is_told(shapes: Shapes) -> None:
    files = [("markup", ("m.png", png((9, 9, 9)), "image/png")), ("image", ("in.png", png((1, 2, 3)), "image/png"))]
    headers = {"authorization": f"Bearer {KEY}"}
    answer = httpx.post(
        f"{shapes.host.url}/v1/images/edits", data={"model": "editor", "prompt": "x"}, files=files, headers=headers
    )
    assert (answer.status_code, answer.headers["x-ignored-parameters"]) == (200, "markup"), answer.text[:300]


def test_an_edit_of_several_images(shapes: Shapes) -> None:
    files = [("a.png", png((1, 2, 3))), ("b.png", png((4, 5, 6)))]
    answer = shapes.client.images.edit(
        model="several", image=files, prompt="join them", size="512x256", extra_body={"seed": 5}
    )
    (image,) = opened(answer)
    assert arguments_of(image) == {"prompt": "join them", "images": [[1, 2, 3], [4, 5, 6]], "seed": 5}
    assert image.size == (512, 256)
    (image,), _ = shapes.make("several", seed=9)
    assert arguments_of(image) == {"prompt": "a red fox", "images": [], "seed": 9}


def test_an_edit_in_json_of_a_data_url_and_of_a_link(shapes: Shapes) -> None:
    url, headers = f"{shapes.host.url}/v1/images", {"authorization": f"Bearer {KEY}"}
    data_url = "data:image/png;base64," + base64.b64encode(png((7, 8, 9))).decode()
    fields = {"model": "editor", "prompt": "x", "images": [{"image_url": data_url}], "seed": 1}
    answer = httpx.post(f"{url}/edits", json=fields, headers=headers, timeout=60).json()
    image = Image.open(io.BytesIO(base64.b64decode(answer["data"][0]["b64_json"])))
    assert arguments_of(image)["image"] == [7, 8, 9] and arguments_of(image)["mask"] is None

    made = httpx.post(
        f"{url}/generations",
        json={"model": "flux-dev", "prompt": "x", "size": "256x256", "response_format": "url"},
        headers=headers,
        timeout=60,
    ).json()
    link = made["data"][0]["url"]
    edited = httpx.post(f"{url}/edits", json=fields | {"images": [{"image_url": link}]}, headers=headers, timeout=60)
    assert edited.status_code == 200 and edited.json()["size"] == "256x256"


def test_what_can_not_be_edited_is_told(shapes: Shapes) -> None:
    url, headers = f"{shapes.host.url}/v1/images/edits", {"authorization": f"Bearer {KEY}"}

    def refused(**call) -> tuple[int, str | None, str | None]:
        answer = httpx.post(url, headers=headers, timeout=60, **call)
        return answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["param"]

    image = {"image": ("a.png", png((1, 2, 3)), "image/png")}
    assert refused(data={"model": "flux-dev", "prompt": "x"}, files=image) == (400, "unsupported_by_model", "model")
    assert refused(data={"model": "editor", "prompt": "x"}, files={"other": ("a", b"x")}) == (
        400,
        "missing_required_parameter",
        "image",
    )
    assert refused(data={"model": "editor"}, files=image) == (400, "missing_required_parameter", "prompt")
    assert refused(data={"model": "editor", "prompt": "x"}, files={"image": ("a.png", b"<svg>")}) == (
        400,
        "invalid_value",
        "image",
    )
    foreign = {"model": "editor", "prompt": "x", "images": [{"image_url": "http://127.0.0.1:1/x.png"}]}
    assert refused(json=foreign) == (400, "invalid_value", "image")
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert httpx.post(url, headers=headers | form, content=b"--x\r\nnonsense").status_code == 400
    many = [("image[]", ("a.png", png((1, 2, 3)), "image/png"))] * 17
    assert refused(data={"model": "several", "prompt": "x"}, files=many) == (400, "invalid_value", "image")
    huge = {"image": ("a.png", bytes(40_000_000), "image/png")}
    assert refused(data={"model": "editor", "prompt": "x"}, files=huge)[0] == 413
    with pytest.raises(openai.BadRequestError) as error:
        shapes.make("editor")
    assert error.value.code == "unsupported_by_model"
