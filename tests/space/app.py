"""A Gradio Space shaped like Z-Image-Turbo, for the demonstration and the tests.

It is a real Gradio server with the signature of the Space mrfakename/Z-Image-Turbo:
``generate_image(prompt, height, width, num_inference_steps, seed, randomize_seed) -> (image, seed)``.
The picture is drawn, not imagined: it depends on the prompt and the seed alone, has exactly the size asked for, and
carries its seed in its pixels (see ``seed_of``), so that a test can tell what was really asked of the Space.

With ``--faults`` some prompts fail on purpose: see ``FAULTS``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import sys
import time

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

from PIL import Image, ImageDraw

import gradio as gr

MAX_SEED = 2**31 - 1
PORTS = 6
"""Number of ranges of ports."""
PAUSE = 0.02
"""Time between two looks at the queue, in seconds. Gradio 6 looks each millisecond, which keeps a processor busy."""
CELL = 8
"""The side of a square that stands for a bit of the seed, in pixels."""


def draw(prompt: str, width: int, height: int, seed: int) -> Image.Image:
    """A picture of that size that shows nothing but what it was made from."""
    rng = random.Random(f"{prompt}\0{seed}")
    digest = hashlib.sha256(prompt.encode()).digest()
    top, bottom = tuple(digest[:3]), tuple(rng.randrange(256) for _ in range(3))
    column = Image.new("RGB", (1, 256))
    for y in range(256):
        column.putpixel((0, y), tuple((a * (255 - y) + b * y) // 255 for a, b in zip(top, bottom, strict=False)))
    image = column.resize((width, height))
    canvas = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, r = rng.randrange(width), rng.randrange(height), rng.randrange(8, max(9, min(width, height) // 4))
        colour = tuple(rng.randrange(256) for _ in range(3))
        canvas.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=4)
    canvas.text((CELL, 2 * CELL), prompt[:60], fill="white", stroke_width=1, stroke_fill="black")
    for bit in range(31):
        colour = "white" if seed >> bit & 1 else "black"
        canvas.rectangle((bit * CELL, 0, bit * CELL + CELL - 1, CELL - 1), fill=colour)
    return image


def seed_of(image: Image.Image) -> int:
    """The seed that a picture of ``draw`` carries: 31 squares along its top, lowest bit first."""
    grey = image.convert("L")
    return sum(1 << bit for bit in range(31) if grey.getpixel((bit * CELL + CELL // 2, CELL // 2)) > 127)


def no_image() -> None:
    return None


def fail(error: Exception):
    raise error


FAULTS = {
    "fault: gr.Error": lambda: fail(gr.Error("Prompt rejected: <b>bad</b> words")),
    "fault: exception": lambda: fail(RuntimeError("a secret of the Space")),
    "fault: no image": no_image,
    "fault: quota": lambda: fail(
        gr.Error("You have exceeded your GPU quota (60s requested vs. 12s left). Try again in 0:05:12")
    ),
}


HELD = "fault: held"
"""Prompt of a job that stays at its first step until a file of the journal's name and ``.released`` exists."""


class Journal:
    """Log of the jobs that began and were done, a line of JSON each."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def is_released(self) -> bool:
        return self.path is None or os.path.exists(f"{self.path}.released")

    def write(self, what: str, prompt: str, seed: int) -> None:
        if self.path:
            # One write to a file that is only appended to: lines of different threads don't mix.
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"what": what, "prompt": prompt, "seed": seed, "at": time.time()}) + "\n")


def space(step_seconds: float, faults: bool, journal: Journal) -> gr.Blocks:
    """The app."""
    progress_bar = gr.Progress()

    def generate_image(prompt, height, width, num_inference_steps, seed, randomize_seed, progress=progress_bar):
        if randomize_seed:
            seed = random.randint(0, MAX_SEED)
        if faults and prompt in FAULTS:
            return FAULTS[prompt](), seed
        journal.write("begun", prompt, int(seed))
        steps = int(num_inference_steps)
        pause = 60.0 if faults and prompt == "fault: slow" else step_seconds
        for step in range(steps):
            progress((step + 1, steps), unit="steps")
            time.sleep(pause)
            while faults and prompt == HELD and not journal.is_released():
                time.sleep(0.02)
        journal.write("done", prompt, int(seed))
        return draw(prompt, int(width), int(height), int(seed)), int(seed)

    with gr.Blocks(title="Z-Image-Turbo") as app:
        prompt = gr.Textbox(label="Prompt")
        height = gr.Slider(256, 2048, value=1024, step=64, label="Height")
        width = gr.Slider(256, 2048, value=1024, step=64, label="Width")
        steps = gr.Slider(1, 20, value=9, step=1, label="Inference Steps")
        randomize = gr.Checkbox(value=True, label="Randomize Seed")
        seed = gr.Number(value=42, precision=0, label="Seed")
        button = gr.Button("Generate")
        image = gr.Image(label="Generated Image")
        used = gr.Number(label="Seed Used")
        button.click(
            generate_image,
            inputs=[prompt, height, width, steps, seed, randomize],
            outputs=[image, used],
            api_name="generate_image",
        )
    return app


def free_port() -> int:
    """A port of loopback that nobody has, of those that the system gives to no connection of its own choice.

    Tests that run side by side have ports of their own, which nobody else takes where a server is away for a moment.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 20_000 + worker % PORTS * 12_000 // PORTS
    for port in random.sample(range(first, first + 12_000 // PORTS), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--step-seconds", type=float, default=0.05, help="how long a denoising step takes")
    parser.add_argument("--at-once", type=int, default=2, help="jobs that run at the same time; 0: all")
    parser.add_argument("--max-queue", type=int, default=None, help="jobs that may wait")
    parser.add_argument("--journal", help="file that logs the jobs that began and were done")
    parser.add_argument("--faults", action="store_true", help="let some prompts fail on purpose")
    arguments = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app = space(arguments.step_seconds, arguments.faults, Journal(arguments.journal))
    app.queue(max_size=arguments.max_queue, default_concurrency_limit=arguments.at_once or None)
    app._queue.sleep_when_free = PAUSE
    port = arguments.port or free_port()
    _, url, _ = app.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True, share=False)
    print(f"Space at {url.rstrip('/')}", flush=True)
    app.block_thread()


if __name__ == "__main__":
    main()
