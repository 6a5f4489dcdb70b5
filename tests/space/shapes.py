"""Gradio Spaces of many shapes, for the tests: the signatures of well-known public Spaces, on Gradio 4, 5 and 6.

Each app draws a PNG that has the size it was asked for and holds the arguments that its function was called with (see
``arguments_of``), so that a test can tell what was asked of it. All run in one process, each on a port of its own;
their addresses are printed as one line of JSON.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import threading

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

from PIL import Image

import gradio as gr
from app import PAUSE, free_port

MAX_SEED = 2**31 - 1
RATIOS = {"1:1": (1024, 1024), "16:9": (1344, 768), "9:16": (768, 1344), "4:3": (1152, 896)}


def draw(width: int, height: int, **arguments) -> Image.Image:
    """A picture of that size with the arguments in its first bytes."""
    text = json.dumps(arguments, ensure_ascii=False).encode()
    data = len(text).to_bytes(4, "big") + text
    size = width * height * 3
    return Image.frombytes("RGB", (width, height), (data + bytes(size))[:size])


def arguments_of(image: Image.Image) -> dict:
    """The arguments that a picture of ``draw`` was made from."""
    data = image.convert("RGB").tobytes()
    return json.loads(data[4 : 4 + int.from_bytes(data[:4], "big")])


def seed_or_random(seed: float, randomize: bool) -> int:
    return random.randint(0, MAX_SEED) if randomize else int(seed)


def flux(dev: bool) -> gr.Blocks:
    """black-forest-labs/FLUX.1-schnell, and -dev with guidance."""

    def infer(
        prompt, seed=42, randomize_seed=False, width=1024, height=1024, guidance_scale=3.5, num_inference_steps=28
    ):
        seed = seed_or_random(seed, randomize_seed)
        return draw(width, height, prompt=prompt, seed=seed, guidance=guidance_scale, steps=num_inference_steps), seed

    def infer_schnell(prompt, seed=42, randomize_seed=False, width=1024, height=1024, num_inference_steps=4):
        seed = seed_or_random(seed, randomize_seed)
        return draw(width, height, prompt=prompt, seed=seed, steps=num_inference_steps), seed

    with gr.Blocks() as app:
        prompt = gr.Text(
            label="Prompt", show_label=False, max_lines=1, placeholder="Enter your prompt", container=False
        )
        result = gr.Image(label="Result", show_label=False, format="png")
        seed = gr.Slider(label="Seed", minimum=0, maximum=MAX_SEED, step=1, value=0)
        randomize = gr.Checkbox(label="Randomize seed", value=True)
        width = gr.Slider(label="Width", minimum=256, maximum=2048, step=32, value=1024)
        height = gr.Slider(label="Height", minimum=256, maximum=2048, step=32, value=1024)
        guidance = gr.Slider(label="Guidance Scale", minimum=1, maximum=15, step=0.1, value=3.5)
        steps = gr.Slider(label="Number of inference steps", minimum=1, maximum=50, step=1, value=28 if dev else 4)
        inputs = [prompt, seed, randomize, width, height, *([guidance] if dev else []), steps]
        gr.on([prompt.submit], infer if dev else infer_schnell, inputs, [result, seed], api_name="infer")
    return app


def qwen_image() -> gr.Blocks:
    """Qwen/Qwen-Image: an aspect ratio in place of a width and a height."""

    def infer(
        prompt,
        seed=42,
        randomize_seed=False,
        aspect_ratio="16:9",
        guidance_scale=4.0,
        num_inference_steps=50,
        prompt_enhance=True,
    ):
        seed = seed_or_random(seed, randomize_seed)
        made = {
            "prompt": prompt,
            "seed": seed,
            "guidance": guidance_scale,
            "steps": num_inference_steps,
            "enhance": prompt_enhance,
        }
        return draw(*RATIOS[aspect_ratio], **made), seed

    with gr.Blocks() as app:
        prompt = gr.Text(label="Prompt")
        run = gr.Button("Run")
        result = gr.Image(label="Result", format="png")
        seed = gr.Slider(label="Seed", minimum=0, maximum=MAX_SEED, step=1, value=0)
        randomize = gr.Checkbox(label="Randomize seed", value=True)
        ratio = gr.Radio(label="Aspect ratio (width:height)", choices=list(RATIOS), value="16:9")
        enhance = gr.Checkbox(label="Prompt Enhance", value=True)
        guidance = gr.Slider(label="Guidance scale", minimum=0.0, maximum=10.0, step=0.1, value=4.0)
        steps = gr.Slider(label="Number of inference steps", minimum=1, maximum=50, step=1, value=50)
        run.click(infer, [prompt, seed, randomize, ratio, guidance, steps, enhance], [result, seed])
    return app


def sd35() -> gr.Blocks:
    """stabilityai/stable-diffusion-3.5-large: a negative prompt; and a session's state among the inputs."""

    def infer(
        history,
        prompt,
        negative_prompt="",
        seed=42,
        randomize_seed=False,
        width=1024,
        height=1024,
        guidance_scale=4.5,
        num_inference_steps=40,
    ):
        seed = seed_or_random(seed, randomize_seed)
        made = {
            "prompt": prompt,
            "negative": negative_prompt,
            "seed": seed,
            "guidance": guidance_scale,
            "steps": num_inference_steps,
        }
        return draw(width, height, **made), seed, (history or []) + [prompt]

    with gr.Blocks() as app:
        history = gr.State([])
        prompt = gr.Text(label="Prompt")
        run = gr.Button("Run")
        result = gr.Image(label="Result", format="png")
        negative = gr.Text(label="Negative prompt", visible=False)
        seed = gr.Slider(label="Seed", minimum=0, maximum=MAX_SEED, step=1, value=0)
        randomize = gr.Checkbox(label="Randomize seed", value=True)
        width = gr.Slider(label="Width", minimum=512, maximum=1024, step=32, value=1024)
        height = gr.Slider(label="Height", minimum=512, maximum=1024, step=32, value=1024)
        guidance = gr.Slider(label="Guidance scale", minimum=0.0, maximum=7.5, step=0.1, value=4.5)
        steps = gr.Slider(label="Number of inference steps", minimum=1, maximum=50, step=1, value=40)
        run.click(
            infer, [history, prompt, negative, seed, randomize, width, height, guidance, steps], [result, seed, history]
        )
    return app


def sdxl() -> gr.Blocks:
    """An SDXL app: several images at once in a gallery, and a scheduler."""

    def generate(
        prompt, negative_prompt, scheduler, num_images, width, height, guidance_scale, steps, seed, randomize_seed
    ):
        seed = seed_or_random(seed, randomize_seed)
        made = {
            "prompt": prompt,
            "negative": negative_prompt,
            "scheduler": scheduler,
            "steps": steps,
            "guidance": guidance_scale,
        }
        return [(draw(width, height, seed=seed + i, **made), f"image {i}") for i in range(int(num_images))], seed

    with gr.Blocks() as app:
        prompt = gr.Textbox(label="Prompt")
        negative = gr.Textbox(label="Negative prompt", value="ugly")
        scheduler = gr.Dropdown(label="Scheduler", choices=["Euler", "DPM++ 2M Karras", "DDIM"], value="Euler")
        count = gr.Slider(label="Number of images", minimum=1, maximum=4, step=1, value=1)
        width = gr.Slider(label="Width", minimum=256, maximum=1536, step=64, value=1024)
        height = gr.Slider(label="Height", minimum=256, maximum=1536, step=64, value=1024)
        guidance = gr.Slider(label="Guidance Scale", minimum=0.1, maximum=20, step=0.1, value=6)
        steps = gr.Slider(label="Steps", minimum=1, maximum=60, step=1, value=25)
        seed = gr.Slider(label="Seed", minimum=0, maximum=MAX_SEED, step=1, value=0)
        randomize = gr.Checkbox(label="Randomize seed", value=True)
        gallery = gr.Gallery(label="Result", format="png")
        used = gr.Textbox(label="Seed used")
        run = gr.Button("Generate")
        run.click(
            generate,
            [prompt, negative, scheduler, count, width, height, guidance, steps, seed, randomize],
            [gallery, used],
            api_name="run",
        )
    return app


def chinese() -> gr.Blocks:
    """Labels in Chinese, and a function whose arguments are called nothing in particular."""

    def f(a, b, c, d, e, g, h):
        return draw(d, c, prompt=b, negative=a, steps=e, seed=seed_or_random(g, h))

    with gr.Blocks() as app:
        inputs = [
            gr.Textbox(label="反向提示词", value="模糊"),
            gr.Textbox(label="提示词"),
            gr.Slider(label="高度", minimum=256, maximum=2048, step=8, value=1024),
            gr.Slider(label="宽度", minimum=256, maximum=2048, step=8, value=1024),
            gr.Slider(label="采样步数", minimum=1, maximum=50, step=1, value=20),
            gr.Number(label="随机种子", value=-1, precision=0),
            gr.Checkbox(label="随机种子", value=True),
        ]
        image = gr.Image(label="生成结果", format="png")
        gr.Button("生成").click(f, inputs, image)
    return app


def tongyi() -> gr.Blocks:
    """Tongyi-MAI/Z-Image-Turbo: a size as a choice, and a gallery that is an input too."""

    def generate(
        prompt, resolution="1024x1024 ( 1:1 )", seed=42, steps=9, shift=3.0, random_seed=True, gallery_images=None
    ):
        width, height = map(int, resolution.split(" ")[0].split("x"))
        seed = seed_or_random(seed, random_seed)
        image = draw(width, height, prompt=prompt, seed=seed, steps=steps, shift=shift)
        return [image, *[item[0] for item in gallery_images or []]], str(seed), seed

    sizes = [
        f"{w}x{h} ( {r} )"
        for r, w, h in [("1:1", 1024, 1024), ("3:2", 1248, 832), ("2:3", 832, 1248), ("1:1", 512, 512)]
    ]
    with gr.Blocks() as app:
        prompt = gr.Textbox(label="Prompt", lines=3)
        category = gr.Dropdown(value=1024, choices=[1024, 1280], label="Resolution Category")
        resolution = gr.Dropdown(value=sizes[0], choices=sizes, label="Width x Height (Ratio)")
        seed = gr.Number(label="Seed", value=42, precision=0)
        randomize = gr.Checkbox(label="Random Seed", value=True)
        steps = gr.Slider(label="Steps", minimum=1, maximum=100, value=8, step=1, interactive=False)
        shift = gr.Slider(label="Time Shift", minimum=1.0, maximum=10.0, value=3.0, step=0.1)
        gallery = gr.Gallery(label="Generated Images", format="png", value=[])
        used = gr.Textbox(label="Seed Used", interactive=False)
        category.change(lambda c: gr.update(), category, resolution, api_name="update_res_choices")
        gr.Button("Generate").click(
            generate,
            [prompt, resolution, seed, steps, shift, randomize, gallery],
            [gallery, used, seed],
            api_name="generate",
        )
    return app


def unnamed() -> gr.Blocks:
    """A function without a name of its own, beside others without: Gradio calls them lambda, lambda_1, …"""

    def paint(prompt, size, again):
        width, height = map(int, size.split("x"))
        return draw(width, height, prompt=prompt, again=again), "done"

    with gr.Blocks() as app:
        prompt = gr.Textbox(label="What shall I paint?")
        size = gr.Radio(label="Size", choices=["256x256", "512x256", "256x512"], value="256x256")
        again = gr.Checkbox(label="Again", value=True)
        note = gr.Textbox(label="Note")
        image = gr.Image(label="Painting", format="png")
        source = gr.Image(label="Image", type="pil")
        gr.Button("Shout").click(lambda text: text.upper(), prompt, note)
        gr.Button("Change").click(lambda picture, text: picture, [source, prompt], image, api_name="edit_image")
        gr.Button("Paint").click(lambda *arguments: paint(*arguments), [prompt, size, again], [image, note])
    return app


def lightning() -> gr.Blocks:
    """ByteDance/SDXL-Lightning: steps as a choice, and an image inside a text."""

    def generate_image(prompt, ckpt):
        import base64
        import io

        buffer = io.BytesIO()
        draw(256, 256, prompt=prompt, ckpt=ckpt).save(buffer, "png")
        return f'<p>Done</p><img src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'

    with gr.Blocks() as app:
        prompt = gr.Textbox(label="Enter your prompt (English)")
        ckpt = gr.Dropdown(
            label="Select inference steps", choices=["1-Step", "2-Step", "4-Step", "8-Step"], value="4-Step"
        )
        gr.Button("Go").click(generate_image, [prompt, ckpt], gr.HTML(label="Result"), api_name="generate_image")
    return app


def generator() -> gr.Blocks:
    """An app that shows the image while it is made, and can be asked for a file format."""

    def generate_image(prompt, output_format="webp", seed=0, steps=4):
        for step in range(int(steps)):
            yield draw(256, 256, prompt=prompt, format=output_format, seed=seed, step=step), f"step {step}"

    with gr.Blocks() as app:
        prompt = gr.Textbox(label="Prompt")
        form = gr.Radio(label="Output format", choices=["webp", "PNG", "jpg"], value="webp")
        seed = gr.Number(label="Seed", value=0, precision=0)
        steps = gr.Slider(label="Steps", minimum=1, maximum=8, step=1, value=4)
        image, status = gr.Image(label="Result", format="png"), gr.Textbox(label="Status")
        gr.Button("Run").click(generate_image, [prompt, form, seed, steps], [image, status])
    return app


def colour(image: Image.Image) -> list[int]:
    """A picture's colour, of which the test's pictures have one each."""
    return list(image.convert("RGB").getpixel((0, 0)))


def editor() -> gr.Blocks:
    """An editor of one image, with a mask and a strength."""

    def edit_image(image, mask_image, prompt, strength, seed, randomize_seed):
        seed = seed_or_random(seed, randomize_seed)
        made = {
            "prompt": prompt,
            "image": colour(image),
            "mask": mask_image and colour(mask_image),
            "strength": strength,
            "seed": seed,
        }
        return draw(*image.size, **made), seed

    with gr.Blocks() as app:
        image = gr.Image(label="Input Image", type="pil", format="png")
        mask = gr.Image(label="Mask", type="pil", format="png")
        prompt = gr.Textbox(label="Edit instruction")
        strength = gr.Slider(label="Strength", minimum=0, maximum=1, step=0.05, value=0.75)
        seed = gr.Slider(label="Seed", minimum=0, maximum=MAX_SEED, step=1, value=0)
        randomize = gr.Checkbox(label="Randomize seed", value=True)
        result = gr.Image(label="Result", format="png")
        gr.Button("Edit").click(edit_image, [image, mask, prompt, strength, seed, randomize], [result, seed])
    return app


def several() -> gr.Blocks:
    """black-forest-labs/FLUX.2-dev: images to start from, as many as there are, or none."""

    def infer(prompt, input_images=None, seed=42, randomize_seed=False, width=1024, height=1024):
        images = [colour(item[0]) for item in input_images or []]
        seed = seed_or_random(seed, randomize_seed)
        return draw(width, height, prompt=prompt, images=images, seed=seed), seed

    with gr.Blocks() as app:
        prompt = gr.Textbox(label="Prompt")
        images = gr.Gallery(label="Input Images", type="pil", format="png")
        seed = gr.Slider(label="Seed", minimum=0, maximum=MAX_SEED, step=1, value=0)
        randomize = gr.Checkbox(label="Randomize seed", value=True)
        width = gr.Slider(label="Width", minimum=256, maximum=1024, step=32, value=512)
        height = gr.Slider(label="Height", minimum=256, maximum=1024, step=32, value=512)
        result = gr.Image(label="Result", format="png")
        gr.Button("Run").click(infer, [prompt, images, seed, randomize, width, height], [result, seed])
    return app


SHAPES = {
    "flux-schnell": functools.partial(flux, False),
    "flux-dev": functools.partial(flux, True),
    "qwen-image": qwen_image,
    "sd35": sd35,
    "sdxl": sdxl,
    "chinese": chinese,
    "tongyi": tongyi,
    "unnamed": unnamed,
    "lightning": lightning,
    "generator": generator,
    "editor": editor,
    "several": several,
}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    urls = {}
    for name, make in SHAPES.items():
        app = make()
        app.queue()
        app._queue.sleep_when_free = PAUSE
        _, url, _ = app.launch(
            server_name="127.0.0.1", server_port=free_port(), prevent_thread_lock=True, quiet=True, share=False
        )
        urls[name] = url.rstrip("/")
    print(f"Spaces at {json.dumps(urls)}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
