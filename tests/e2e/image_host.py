"""A host of images that is no Space, as Spaces use one for what they make."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image


class ImageHost:
    """Serves `image` on a free port of loopback until ``stop``; below ``/moved``, ``/page`` and ``/large`` it doesn't.

    `seen` are path and headers of each call.
    """

    def __init__(self) -> None:
        buffer = io.BytesIO()
        Image.new("RGB", (48, 32), (10, 200, 30)).save(buffer, "png")
        self.image = buffer.getvalue()
        self.seen: list[tuple[str, dict[str, str]]] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                host.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                body = b"<!DOCTYPE html>" if self.path.startswith("/page") else host.image
                self.send_response(302 if self.path.startswith("/moved") else 200)
                self.send_header("location", f"{host.url}/from-elsewhere.png")
                self.send_header("set-cookie", "image-host=1; Path=/")
                # What is announced as too large need not come.
                self.send_header("content-length", str(10**9 if self.path.startswith("/large") else len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
