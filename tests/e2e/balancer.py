"""A balancer in front of a Space's replicas, which binds a client to one of them by a cookie."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "server", "date"}


class Balancer:
    """Serves on a free port of loopback until ``stop``.

    `refusals` are answers to the next calls of a path, each a status and headers, in place of a replica's. With `tls`,
    a PEM file of a key and its certificate, it serves over TLS. With a `token`, it tells who doesn't bring it that
    there is nothing, as a private Space of Hugging Face does.
    """

    def __init__(self, *replicas: str, tls: Path | None = None, token: str | None = None) -> None:
        self.replicas = [urlsplit(url).netloc for url in replicas]
        self.refusals: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self.seen: list[tuple[str, str | None, str]] = []
        """Path, cookie and replica of each call that was passed on."""
        self.strangers: list[str] = []
        """Path of each call without the token."""
        self._token = token
        self._next = itertools.cycle(range(len(replicas)))
        balancer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                balancer._pass_on(self)

            do_POST = do_GET

            def log_message(self, *_) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _pass_on(self, call: BaseHTTPRequestHandler) -> None:
        path = call.path.split("?")[0].removeprefix("/gradio_api")
        body = call.rfile.read(int(call.headers.get("content-length") or 0))
        if self._token and call.headers.get("authorization") != f"Bearer {self._token}":
            self.strangers.append(path)
            call.send_error(404)
            return
        if self.refusals.get(path):
            status, headers = self.refusals[path].pop(0)
            call.send_response(status)
            for name, value in {"content-length": "0", **headers}.items():
                call.send_header(name, value)
            call.end_headers()
            return
        cookie = call.headers.get("cookie")
        known = cookie.removeprefix("replica=") if cookie else None
        number = int(known) if known else next(self._next)
        self.seen.append((path, cookie, str(number)))
        replica = http.client.HTTPConnection(self.replicas[number], timeout=60)
        try:
            headers = {name: value for name, value in call.headers.items() if name.lower() not in HOP_BY_HOP}
            replica.request(call.command, call.path, body or None, headers)
            answer = replica.getresponse()
            call.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    call.send_header(name, value)
            if not known:
                call.send_header("set-cookie", f"replica={number}; Path=/; HttpOnly")
            call.end_headers()
            while piece := answer.read1(65536):
                call.wfile.write(piece)
                call.wfile.flush()
        except OSError:
            # Who asked has gone.
            pass
        finally:
            replica.close()
            call.close_connection = True
            if isinstance(call.connection, ssl.SSLSocket):
                # A body without a length ends with TLS, not with the connection.
                with contextlib.suppress(OSError):
                    call.connection.unwrap()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
