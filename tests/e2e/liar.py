"""A Space that speaks Gradio's wire and misbehaves on it: what no real server can be asked to do.

A job's prompt says what becomes of the job: one of ``BEHAVIOURS``, or ``held`` and any other words, which is completed
after ``release``. A prompt that has ``large previews`` in it shows three of them first. A file's name says what becomes
of the call for it.
"""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 40
"""Enough of a PNG for whoever only looks at its first bytes."""


def large(behaviour: str) -> bytes:
    """An image of as many megabytes as the last word says; its last bytes are told from all others."""
    return PNG + bytes(int(behaviour.split()[-1]) << 20) + b"the end"


HANG = 300
"""Duration of what hangs, in seconds: longer than any test waits."""

BEHAVIOURS = [
    "fine",
    "slow",
    "cut",
    "end",
    "hang",
    "heartbeat",
    "huge event",
    "babble",
    "unexpected",
    "cancelled",
    "join 503",
    "join 500",
    "join hang",
    "join redirect",
    "foreign url",
    "dot path",
    "no file",
    "page",
    "svg",
    "huge",
    "redirect",
    "headers",
    "short",
]


class Liar:
    """The server, on a free port of loopback until ``stop``; it remembers what it was asked."""

    def __init__(self) -> None:
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                liar.get(self)

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                liar.post(self, json.loads(self.rfile.read(length) or b"null"))

        self.files: dict[str, bytes] = {}
        """What the images of a prompt are, where they aren't ``PNG``."""
        self.jobs: dict[str, str] = {}
        self._released: set[str] = set()
        self._release = threading.Condition()
        self.cancelled: list[str] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def release(self, prompt: str) -> None:
        """Completes the jobs of that prompt, which are held: those that there are, and those to come."""
        with self._release:
            self._released.add(prompt)
            self._release.notify_all()

    def joined(self, prompt: str) -> int:
        """Number of jobs of that prompt so far."""
        return sum(job == prompt for job in list(self.jobs.values()))

    def stop(self) -> None:
        for prompt in set(self.jobs.values()):
            self.release(prompt)
        self.server.shutdown()
        self.server.server_close()

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]

    @staticmethod
    def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes | str, kind: str, **headers: str) -> None:
        body = body.encode() if isinstance(body, str) else body
        handler.send_response(status)
        handler.send_header("content-type", kind)
        handler.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    def json(self, handler: BaseHTTPRequestHandler, status: int, value: object) -> None:
        self.answer(handler, status, json.dumps(value), "application/json")

    def post(self, handler: BaseHTTPRequestHandler, call: dict) -> None:
        self.requests.append(("POST", handler.path, dict(handler.headers)))
        if handler.path == "/gradio_api/cancel":
            self.cancelled.append(call["session_hash"])
            return self.json(handler, 200, {"success": True})
        session, behaviour = call["session_hash"], call["data"][0]
        self.jobs[session] = behaviour
        match behaviour:
            case "join 503":
                self.json(handler, 503, {"detail": "Queue is full. Max size is 1 and size is 1."})
            case "join 500":
                self.answer(handler, 500, "Internal Server Error", "text/plain")
            case "join hang":
                time.sleep(HANG)
            case "join redirect":
                self.answer(handler, 307, "", "text/plain", location=f"{self.url}/elsewhere")
            case _:
                self.json(handler, 200, {"event_id": f"event-{session}"})
        return None

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(("GET", handler.path, dict(handler.headers)))
        url = urlsplit(handler.path)
        if url.path == "/config":
            endpoint = {"id": 3, "api_name": "generate_image", "backend_fn": True, "inputs": [1], "outputs": [2]}
            components = [
                {"id": 1, "type": "textbox", "props": {"label": "Prompt"}},
                {"id": 2, "type": "image", "props": {"label": "Image"}},
            ]
            config = {"version": "6.31.0", "protocol": "sse_v3", "api_prefix": "/gradio_api", "root": self.url}
            self.json(handler, 200, config | {"components": components, "dependencies": [endpoint]})
        elif url.path == "/gradio_api/queue/data":
            self.stream(handler, parse_qs(url.query)["session_hash"][0])
        elif url.path.startswith("/gradio_api/file="):
            self.file(handler, unquote(url.path).rsplit("/", 1)[-1].removesuffix(".png"))
        else:
            self.json(handler, 404, {"detail": "Not Found"})

    def stream(self, handler: BaseHTTPRequestHandler, session: str) -> None:
        behaviour = self.jobs[session]
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()

        def chunk(data: bytes) -> None:
            handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            handler.wfile.flush()

        def say(message: dict) -> None:
            chunk(f"data: {json.dumps({'event_id': f'event-{session}'} | message)}\n\n".encode())

        def complete(output: dict) -> None:
            say({"msg": "process_completed", "success": True, "output": output})
            say({"msg": "close_stream"})

        say({"msg": "estimation", "rank": 0, "queue_size": 1, "rank_eta": None})
        say({"msg": "process_starts", "eta": None})
        path = f"/tmp/gradio/{session}/{behaviour}.png"
        if "large previews" in behaviour:
            for number in range(3):
                preview = {"path": f"/tmp/gradio/{session}/large {number}.png"}
                say({"msg": "process_generating", "success": True, "output": {"data": [preview, 1]}})
                time.sleep(0.2)
        match behaviour:
            case "cut":
                handler.close_connection = True
                return handler.connection.close()
            case "end":
                pass
            case "hang":
                time.sleep(HANG)
            case _ if behaviour.startswith("held"):
                with self._release:
                    self._release.wait_for(lambda: behaviour in self._released, HANG)
                complete({"data": [{"path": path, "url": f"{self.url}/x"}, 1]})
            case "slow":
                time.sleep(2)
                complete({"data": [{"path": path, "url": f"{self.url}/x"}, 1]})
            case "heartbeat":
                try:
                    for _ in range(10 * HANG):
                        say({"msg": "heartbeat"})
                        time.sleep(0.1)
                except OSError:
                    return None
            case "huge event":
                try:
                    for _ in range(40):
                        chunk(b"x" * (1 << 20))
                except OSError:
                    return None
            case "many values":
                complete({"data": [[0] * 4_000_000, 1]})
            case "many values before":
                say({"msg": "process_generating", "success": True, "output": {"data": [[0] * 4_000_000, 1]}})
                complete({"data": [{"path": path, "url": f"{self.url}/x"}, 1]})
            case "chatter":
                step = {"event_id": f"event-{session}", "msg": "progress", "progress_data": [{"index": 1, "length": 9}]}
                for _ in range(100):
                    chunk(f"data: {json.dumps(step)}\n\n".encode() * 2_000)
                complete({"data": [{"path": path, "url": f"{self.url}/x"}, 1]})
            case _ if behaviour.startswith("inline "):
                complete({"data": ["data:image/png;base64," + b64encode(large(behaviour)).decode(), 1]})
            case "babble":
                chunk(b"data: {not json\n\n")
            case "unexpected":
                say(
                    {
                        "msg": "unexpected_error",
                        "message": "Server stopped unexpectedly.\r\nset-cookie: x=1",
                        "success": False,
                    }
                )
            case "cancelled":
                complete({})
            case "foreign url":
                complete({"data": [{"path": path, "url": "http://127.0.0.1:1/evil.png"}, 1]})
            case "dot path":
                complete({"data": [{"path": "/tmp/../../config"}, 1]})
            case "no file":
                complete({"data": [{"url": "http://127.0.0.1:1/x.png"}, 1]})
            case _:
                complete({"data": [{"path": path, "url": f"{self.url}/x"}, 1]})
        return chunk(b"")

    @staticmethod
    def breaking(handler: BaseHTTPRequestHandler, whole: bytes) -> None:
        """Breaks off after a third of the file, whatever part of it is asked for."""
        start = int(handler.headers.get("range", "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("content-type", "image/png")
        handler.send_header("content-length", str(len(whole) - start))
        if start:
            handler.send_header("content-range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        handler.end_headers()
        handler.wfile.write(whole[start : start + len(whole) // 3 + 1])
        handler.close_connection = True

    def file(self, handler: BaseHTTPRequestHandler, behaviour: str) -> None:
        match behaviour:
            case "page":
                self.answer(handler, 200, "<!DOCTYPE html><script>alert(1)</script>", "image/png")
            case "svg":
                self.answer(handler, 200, "<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "image/svg+xml")
            case _ if behaviour.startswith("large"):
                self.answer(handler, 200, PNG + bytes(8 << 20), "image/png")
            case "redirect":
                self.answer(handler, 302, PNG, "image/png", location=f"{self.url}/elsewhere")
            case "huge":
                handler.send_response(200)
                handler.send_header("content-type", "image/png")
                handler.send_header("connection", "close")
                handler.end_headers()
                try:
                    handler.wfile.write(PNG)
                    for _ in range(64):
                        handler.wfile.write(bytes(1 << 20))
                except OSError:
                    pass
                handler.close_connection = True
            case _ if behaviour.startswith("megabytes "):
                self.answer(handler, 200, large(behaviour), "image/png")
            case _ if behaviour.startswith("breaking "):
                self.breaking(handler, large(behaviour))
            case "short":
                handler.send_response(200)
                handler.send_header("content-type", "image/png")
                handler.send_header("content-length", str(len(PNG) + 1000))
                handler.end_headers()
                handler.wfile.write(PNG)
                handler.close_connection = True
            case "headers":
                self.answer(
                    handler,
                    200,
                    PNG,
                    "text/html",
                    set_cookie="a=b",
                    x_secret="1",
                    access_control_allow_origin="http://x",
                    content_disposition="attachment",
                    cache_control="no-store",
                    server="liar",
                )
            case _:
                self.answer(handler, 200, self.files.get(behaviour, PNG), "application/octet-stream")
