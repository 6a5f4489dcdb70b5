"""Takes the pictures in docs/studio: the built application, real Gradio Spaces and a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "space")]

from host import ROOT, Host, Shapes, Space  # noqa: E402

WIDTH = 1280
"""The width that pictures of a desk are kept in, in pixels; a phone's keep half of theirs."""


def main() -> None:
    spaces = [Space(sys.executable, "--step-seconds", "0.35", "--at-once", "1") for _ in range(2)]
    shapes = Shapes(sys.executable)
    keys = [f"sk-screenshots-{number}" for number in range(9)]
    models = ",".join([*(f"z-image-turbo={space.url}" for space in spaces), f"editor={shapes.urls['editor']}"])
    host = Host(spaces=models, extra_host="http://127.0.0.1:*", api_keys=",".join(keys))
    with tempfile.TemporaryDirectory() as output:
        variables = {
            "STUDIO_URL": f"{host.url}/",
            "STUDIO_OUTPUT": output,
            "API_KEYS": ",".join(keys),
            "PYTHON": sys.executable,
        }
        unused = {"STUDIO_DEAD_URL": variables["STUDIO_URL"], "STUDIO_OPEN_URL": variables["STUDIO_URL"]}
        script = ROOT / "tests/node/studio/screenshots.js"
        try:
            subprocess.run(["node", script], env=os.environ | variables | unused, check=True, timeout=600)
        finally:
            host.stop()
            shapes.stop()
            for space in spaces:
                space.stop()
        folder = ROOT / "docs/studio"
        folder.mkdir(exist_ok=True)
        for path in sorted(Path(output).glob("*.png")):
            picture = Image.open(path).convert("RGB")
            width = WIDTH if picture.width > picture.height else picture.width // 2
            picture = picture.resize((width, picture.height * width // picture.width), Image.Resampling.LANCZOS)
            kept = folder / f"{path.stem}.webp"
            picture.save(kept, quality=84, method=6)
            print(f"{kept.relative_to(ROOT)}: {picture.width} x {picture.height}, {kept.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main()
