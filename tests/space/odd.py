"""Gradio Spaces that are odd, each in a way that real ones are, for the tests: on Gradio 4, 5 and 6.

One app holds a function for each oddity; another hides its only function. As in ``shapes.py``, a picture holds the
arguments that it was made from. All run in one process; their addresses are printed as one line of JSON. ``twin`` is
the first app once more: another replica of it.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

from shapes import MAX_SEED, colour, draw

import gradio as gr
from app import PAUSE, free_port

GALLERY = {"format": "png", "label": "Result"}
FOLDER = Path(tempfile.mkdtemp(prefix="odd-space-"))
QUOTA = (
    "You have exceeded your GPU quota (46s left vs. 60s requested). "
    '<a style="white-space: nowrap;" href="https://huggingface.co/join">Create a free account</a> '
    "to get more usage, or retry in 0:09:48"
)


def picture(width: int = 128, height: int = 64, **arguments):
    return draw(width, height, **arguments)


def saved(file: str, **arguments) -> str:
    """A picture in a new file of that name, whatever its ending says."""
    path = Path(tempfile.mkdtemp(dir=FOLDER)) / file
    picture(**arguments).save(path, "png")
    return str(path)


def updates() -> None:
    """Outputs that are updates of components."""

    def update(prompt, seed):
        return gr.update(visible=True, value=picture(prompt=prompt, seed=seed)), gr.update(value=seed + 1)

    def component(prompt, seed):
        return gr.Image(value=saved("component.png", prompt=prompt, seed=seed)), gr.Number(value=seed + 2)

    def gallery(prompt, seed):
        images = [picture(prompt=prompt, number=number) for number in range(3)]
        return gr.update(value=[(image, "caption") for image in images], selected_index=0), seed + 3

    def yields(prompt, seed):
        yield gr.update(value=None), None
        yield gr.update(value=picture(prompt=prompt, seed=seed)), gr.update(value=seed + 4)
        # Long enough for somebody to fetch it.
        time.sleep(1)
        yield gr.update(visible=True), gr.update(label="Seed used")

    for function, output in [(update, gr.Image), (component, gr.Image), (gallery, gr.Gallery), (yields, gr.Image)]:
        prompt, seed = gr.Textbox(label="Prompt"), gr.Number(label="Seed", precision=0)
        outputs = [output(format="png"), gr.Number(label="Seed used")]
        gr.Button().click(function, [prompt, seed], outputs, api_name=f"updates_{function.__name__}")


def sliders() -> None:
    """Sliders without a step, which Gradio computes one for."""

    def stepless(prompt, steps, width, height, seed, guidance):
        for _ in range(steps):
            pass
        return picture(width, height, prompt=prompt, steps=steps, seed=seed, guidance=guidance)

    def few_seeds(prompt, seed):
        return picture(prompt=prompt, seed=seed)

    prompt = gr.Textbox(label="Prompt")
    steps = gr.Slider(1, 50, value=20, label="Steps")
    width = gr.Slider(256, 2048, value=1024, label="Width")
    height = gr.Slider(256, 2048, value=1024, step=64, label="Height")
    seed = gr.Slider(0, MAX_SEED, value=0, label="Seed")
    guidance = gr.Number(value=7.5, label="Guidance scale")
    image = gr.Image(format="png")
    gr.Button().click(stepless, [prompt, steps, width, height, seed, guidance], image, api_name="sliders_stepless")
    few = gr.Slider(0, 999_999, value=0, step=1, label="Seed")
    gr.Button().click(few_seeds, [prompt, few], image, api_name="sliders_few_seeds")


def outputs() -> None:
    """Images in other components than an image or a gallery, and beside what is none."""
    video = FOLDER / "clip.mp4"
    video.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")

    def with_video(prompt):
        return [picture(prompt=prompt, number=0), str(video), picture(prompt=prompt, number=1)]

    def annotated(prompt):
        return picture(prompt=prompt), [((0, 0, 10, 10), "corner")]

    def edited(prompt):
        image = picture(prompt=prompt)
        return {"background": image, "layers": [], "composite": image}

    def file(prompt):
        return saved("single.png", prompt=prompt)

    def files(prompt):
        note = FOLDER / "notes.txt"
        note.write_text("no image")
        return [str(note), saved("one of several.png", prompt=prompt)]

    def names(prompt):
        return [saved(name, prompt=prompt, name=name) for name in ["50% off #1.png", "no ending", "wrong ending.jpg"]]

    made = {
        with_video: gr.Gallery(**GALLERY),
        annotated: gr.AnnotatedImage(**({} if gr.__version__.startswith("4.") else {"format": "png"})),
        edited: gr.ImageEditor(type="pil", format="png"),
        file: gr.File(),
        files: gr.File(file_count="multiple"),
        names: gr.Gallery(**GALLERY),
    }
    if hasattr(gr, "ImageSlider"):

        def pair(prompt):
            return None, picture(prompt=prompt, side="after")

        def half_pair(prompt):
            return picture(prompt=prompt, side="before"), None

        made |= {pair: gr.ImageSlider(format="png"), half_pair: gr.ImageSlider(format="png")}
    for function, output in made.items():
        gr.Button().click(function, gr.Textbox(label="Prompt"), output, api_name=f"outputs_{function.__name__}")

    def elsewhere(prompt):
        return [url for url in prompt.split() if url.startswith("http")]

    gr.Button().click(elsewhere, gr.Textbox(label="Prompt"), gr.Gallery(**GALLERY), api_name="outputs_elsewhere")


def inputs() -> None:
    """Inputs that need not be given, that nobody sees, or that hold several things."""
    progress_bar = gr.Progress()

    def optional(prompt, image=None, seed=0, progress=progress_bar):
        for step in range(80 if prompt == "slow" else 0):
            progress((step, 80), unit="steps")
            time.sleep(0.25)
        return picture(prompt=prompt, image=image and colour(image), seed=seed)

    def inpaint(editor, prompt):
        layer = editor["layers"][0]
        size = editor["background"].size
        painted = [layer.getpixel(at) for at in [(0, 0), (size[0] - 1, size[1] - 1)]]
        return draw(*size, prompt=prompt, image=colour(editor["background"]), painted=painted)

    def stateful(first, prompt, secret, second, seed):
        made = picture(prompt=prompt, secret=secret, seed=seed, states=[first, second])
        return made, (first or 0) + 1, second

    def choices(prompt, model="Base", style="None", seed=0):
        return picture(prompt=prompt, model=model, style=style, seed=seed)

    def quota(prompt):
        raise gr.Error(QUOTA)

    prompt, seed = gr.Textbox(label="Prompt"), gr.Number(label="Seed", precision=0)
    image = gr.Image(format="png")
    source = gr.Image(label="Image", type="pil", format="png")
    gr.Button().click(optional, [prompt, source, seed], image, api_name="inputs_optional")
    editor = gr.ImageEditor(label="Image and mask", type="pil", format="png")
    gr.Button().click(inpaint, [editor, prompt], image, api_name="inputs_inpaint")
    first, second, secret = gr.State(), gr.State(), gr.Number(value=7, visible=False, precision=0)
    gr.Button().click(
        stateful, [first, prompt, secret, second, seed], [image, first, second], api_name="inputs_stateful"
    )
    model = gr.Dropdown(label="Model", choices=["Base", ("Turbo, 8 steps", "org/turbo"), "org/fine tune"], value="Base")
    style = gr.Radio(label="Style", choices=["None", "Ink", "Photo"], value="None")
    gr.Button().click(choices, [prompt, model, style, seed], image, api_name="inputs_choices")
    gr.Button().click(quota, prompt, image, api_name="quota")
    if not gr.__version__.startswith("4."):

        def validated(prompt, num_inference_steps):
            return picture(prompt=prompt, steps=num_inference_steps)

        def check(prompt, num_inference_steps):
            return gr.validate(len(prompt) > 3, "<b>Too</b> short."), gr.validate(num_inference_steps < 9, "Too many.")

        steps = gr.Number(label="Steps", value=4, precision=0)
        gr.Button().click(validated, [prompt, steps], image, validator=check, api_name="inputs_validated")


def odd() -> gr.Blocks:
    with gr.Blocks() as app:
        updates()
        sliders()
        outputs()
        inputs()
    return app


def hidden() -> gr.Blocks:
    """An app whose only function isn't to be called from outside, as authors think: its page calls it all the same."""

    def paint(prompt, seed):
        return picture(prompt=prompt, seed=seed)

    visibility = {"api_visibility": "private"} if gr.__version__.startswith("6.") else {"api_name": False}
    with gr.Blocks() as app:
        prompt, seed = gr.Textbox(label="Prompt"), gr.Number(label="Seed", precision=0)
        gr.Button().click(paint, [prompt, seed], gr.Image(format="png"), **visibility)
    return app


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    urls = {}
    for name, make in {"odd": odd, "twin": odd, "hidden": hidden}.items():
        app = make()
        app.queue()
        app._queue.sleep_when_free = PAUSE
        _, url, _ = app.launch(
            server_name="127.0.0.1",
            server_port=free_port(),
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            allowed_paths=[str(FOLDER)],
        )
        urls[name] = url.rstrip("/")
    print(f"Spaces at {json.dumps(urls)}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
