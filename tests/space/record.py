"""Records what the Spaces of ``shapes.py`` and ``odd.py`` say of themselves, for tests that need no server.

``python tests/space/record.py tests/recorded`` writes ``<Gradio's version>/<shape>.json`` with ``/config`` and
``/info``, less what only a browser needs (styles, layout, theme).
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

PROPS = ["label", "value", "minimum", "maximum", "step", "precision", "choices", "multiselect", "name", "type"]
PARAMETER = ["label", "parameter_name", "parameter_has_default", "parameter_default", "component"]


def fetch(url: str) -> dict:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def only(value: dict, keys: list[str]) -> dict:
    return {key: value[key] for key in keys if key in value}


def slim_config(config: dict) -> dict:
    slim = only(config, ["version", "protocol", "api_prefix"])
    slim["root"] = "http://127.0.0.1:7860"
    slim["components"] = [
        only(component, ["id", "type", "skip_api"]) | {"props": only(component["props"], PROPS)}
        for component in config["components"]
    ]
    keys = ["id", "api_name", "api_visibility", "show_api", "backend_fn", "inputs", "outputs", "types"]
    slim["dependencies"] = [only(dependency, keys) for dependency in config["dependencies"]]
    return slim


def slim_info(info: dict) -> dict:
    def endpoint(value: dict) -> dict:
        return {"parameters": [only(parameter, PARAMETER) for parameter in value["parameters"]]}

    return {kind: {name: endpoint(value) for name, value in endpoints.items()} for kind, endpoints in info.items()}


def main() -> None:
    out = Path(sys.argv[1])
    for script in ["shapes.py", "odd.py"]:
        record(out, script)


def record(out: Path, script: str) -> None:
    process = subprocess.Popen([sys.executable, Path(__file__).with_name(script)], stdout=subprocess.PIPE, text=True)
    line = next(line for line in process.stdout if line.startswith("Spaces at "))
    urls = json.loads(line.removeprefix("Spaces at "))
    # One more replica of what is recorded anyway.
    urls.pop("twin", None)
    for name, url in urls.items():
        config = fetch(f"{url}/config")
        info = fetch(f"{url}{config.get('api_prefix', '')}/info")
        path = out / config["version"] / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        recorded = {"config": slim_config(config), "info": slim_info(info)}
        path.write_text(json.dumps(recorded, ensure_ascii=False, indent=1) + "\n")
    process.kill()


if __name__ == "__main__":
    main()
