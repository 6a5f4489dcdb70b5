"""A Space that says what it is told to say, wherever a Space can say something."""

from __future__ import annotations

import gzip
import json
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from liar import PNG, Liar

NASTY = (
    "a\r\nset-cookie: hurt=1\r\n\r\n\x1b[31mred\x1b[0m\x00\u202eback\u2028line\u2029\ufeff"
    'data: {}\n\n<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>\'"`${window.hurt=1}`'
    "![x](http://evil.example/x.png)[y](javascript:window.hurt=1)'; DROP TABLE tasks; --" + "long " * 40_000
)
"""Everything that would like to get out of its place."""


class Talker(Liar):
    """The lying Space, with ``text`` in its description, its errors and its files' names.

    A job's prompt says where: ``raised``, ``shown``, ``unexpected``, ``detail``, ``path``, or anywhere else nothing.
    The file of the prompt ``compressed`` is a gigabyte of nothing.
    """

    def __init__(self, text: str = NASTY) -> None:
        self.text = text
        super().__init__()

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path
        if path == "/gradio_api/info":
            named = [("prompt", ""), ("mood", self.text), ("negative_prompt", self.text)]
            parameters = [
                {
                    "parameter_name": name,
                    "parameter_has_default": True,
                    "parameter_default": default,
                    "label": self.text,
                }
                for name, default in named
            ]
            return self.json(handler, 200, {"named_endpoints": {"/generate_image": {"parameters": parameters}}})
        if path != "/config":
            return super().get(handler)
        props = {"label": self.text, "choices": [[self.text, self.text], "x"], "value": self.text, "info": self.text}
        components = [
            {"id": 1, "type": "textbox", "props": {"label": "Prompt"}},
            {"id": 2, "type": "image", "props": {"label": self.text}},
            {"id": 3, "type": "dropdown", "props": props},
            {"id": 4, "type": "textbox", "props": {"label": f"Negative prompt {self.text[:100]}", "value": self.text}},
        ]
        function = {"id": 3, "api_name": "generate_image", "backend_fn": True, "inputs": [1, 3, 4], "outputs": [2]}
        return self.json(
            handler,
            200,
            {
                "version": self.text,
                "protocol": "sse_v3",
                "api_prefix": "/gradio_api",
                "root": self.url,
                "components": components,
                "dependencies": [function],
            },
        )

    def file(self, handler: BaseHTTPRequestHandler, behaviour: str) -> None:
        if behaviour != "compressed":
            return super().file(handler, behaviour)
        # Members of a gzip file, each of a megabyte, one after the other.
        bomb = gzip.compress(PNG) + gzip.compress(bytes(1 << 20)) * 1000
        return self.answer(handler, 200, bomb, "image/png", content_encoding="gzip")

    def post(self, handler: BaseHTTPRequestHandler, call: dict) -> None:
        if call.get("data", [None])[0] == "detail":
            return self.json(handler, 503, {"detail": f"Queue is full. {self.text}"})
        return super().post(handler, call)

    def stream(self, handler: BaseHTTPRequestHandler, session: str) -> None:
        output: dict
        match self.jobs[session]:
            case "raised":
                output = {"error": self.text, "title": self.text, "duration": 10}
                message = {"msg": "process_completed", "success": False, "output": output, "title": self.text}
            case "shown":
                message = {"msg": "process_completed", "success": False, "output": {"error": self.text}}
            case "unexpected":
                message = {"msg": "unexpected_error", "message": self.text, "success": False}
            case "path":
                output = {"data": [{"path": f"/tmp/{self.text[:300]}.png", "url": self.text}]}
                message = {"msg": "process_completed", "success": True, "output": output}
            case _:
                return super().stream(handler, session)
        body = f"data: {json.dumps(message)}\n\ndata: {json.dumps({'msg': 'close_stream'})}\n\n"
        return self.answer(handler, 200, body, "text/event-stream")
