"""A Space that speaks Gradio's wire and has one fault, at one surface of it."""

from __future__ import annotations

import asyncio
import collections
import json
import random
import socket
import subprocess
import sys
import time
from urllib.parse import parse_qs, quote, unquote, urlsplit

from faults import FAULTS, FILE_FAULTS, JOIN_FAULTS, LATE, Act, Reply, script, send, transcript
from wire import CallServer, Head, Over

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00\x00\x00\x01\x00" + bytes(range(256)) * 40
"""Enough of a PNG for whoever only looks at its beginning: 256 pixels wide and high."""

SURFACES = {
    "/config": "config",
    "/gradio_api/info": "info",
    "/gradio_api/upload": "upload",
    "/gradio_api/queue/join": "join",
    "/gradio_api/queue/data": "data",
    "/gradio_api/cancel": "cancel",
}
BEFORE = {"info": "config", "upload": "info", "join": "info", "data": "join", "file": "data", "cancel": "data"}
"""Surface that is called before each one; of an edit, the upload comes before the join."""

PORTS = range(20_000, 32_000)
"""Ports of Spaces: none that a connection gets by itself, which a Space that comes back would then find taken."""

TAKEN: set[int] = set()
"""Ports that were chosen already: one on which nobody listens for now is free to the system, but another's."""

ACTS: dict[str, Act] = FAULTS | JOIN_FAULTS | FILE_FAULTS


def component(number: int, kind: str, label: str) -> dict:
    return {"id": number, "type": kind, "props": {"label": label, "value": None}}


CONFIG = {
    "version": "6.31.0",
    "protocol": "sse_v3",
    "api_prefix": "/gradio_api",
    "components": [
        component(1, "textbox", "Prompt"),
        component(2, "image", "Result"),
        component(3, "number", "Seed"),
        component(4, "image", "Input image"),
    ],
    "dependencies": [
        {"id": 3, "api_name": "generate_image", "backend_fn": True, "inputs": [1], "outputs": [2, 3]},
        {"id": 5, "api_name": "edit_image", "backend_fn": True, "inputs": [4, 1], "outputs": [2, 3]},
    ],
}


class FaultySpace(CallServer):
    """The server, on a free port of loopback until ``stop``; it counts what it was asked, and what became of it.

    With ``once``, the fault is gone after the first call; ``pause`` is that before each event, in seconds.
    """

    def __init__(self, surface: str = "", fault: str = "", once: bool = False, pause: float = 0) -> None:
        super().__init__()
        self.surface, self.fault, self.once, self.pause = surface, fault, once, pause
        self.calls: collections.Counter[str] = collections.Counter()
        self.joined: dict[str, None] = {}
        """Sessions of the jobs, in order."""
        self.over: set[str] = set()
        """Jobs that were done, or cancelled."""
        self.events = transcript("6.31.0", "image")
        self.picture = PNG
        self.port = 0
        self._held: socket.socket | None = None
        """Its port, while nobody can connect."""

    async def start(self) -> FaultySpace:
        self._free()
        until = time.monotonic() + 20
        is_chosen = bool(self.port)
        while True:
            if not is_chosen:
                self.port = random.choice([port for port in PORTS if port not in TAKEN])
                TAKEN.add(self.port)
            try:
                await self._listen(self.port)
                break
            except OSError:
                if is_chosen and time.monotonic() > until:
                    raise
                await asyncio.sleep(0.05 if is_chosen else 0)
        if (self.surface, self.fault) == ("config", "refused"):
            self.refuse()
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def left(self) -> list[str]:
        """Jobs that nobody has ended."""
        return [job for job in self.joined if job not in self.over]

    def refuse(self) -> None:
        """Lets nobody connect any more, and nobody else have the port."""
        if self._server:
            self._deafen()
            self._held = socket.socket()
            self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held.bind(("127.0.0.1", self.port))

    def _free(self) -> None:
        if self._held:
            self._held.close()
            self._held = None

    async def stop(self) -> None:
        self.refuse()
        self._free()
        await super().stop()

    async def _answer(
        self, head: Head, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        url = urlsplit(head.line[1])
        surface = "file" if url.path.startswith("/gradio_api/file=") else SURFACES.get(url.path, "elsewhere")
        self.calls[surface] += 1
        fault = self._fault(surface)
        if surface == "join" and fault == LATE:
            self.joined[json.loads(body)["session_hash"]] = None
        if surface == "join" and fault not in ACTS:
            # A caller that has given up will never know the job's number.
            await asyncio.sleep(0)
            if reader.at_eof():
                raise Over
            self.joined[json.loads(body)["session_hash"]] = None
        if surface == "cancel" and fault not in ACTS:
            self.over.add(json.loads(body)["session_hash"])
        if (surface, fault) == ("data", "length too long"):
            # All of the events are there.
            self.over.update(self.joined)
        if fault in ACTS:
            await ACTS[fault](self._reply(surface), writer)
            return
        if surface == "data":
            await self._stream(parse_qs(url.query)["session_hash"][0], fault, writer)
            raise Over
        reply, is_last = self._reply(surface), self._goes_down_after(surface)
        writer.write(reply.head(connection="close" if is_last else "keep-alive") + reply.body)
        await writer.drain()
        if is_last:
            raise Over

    def _fault(self, surface: str) -> str:
        if surface == self.surface and not (self.once and self.calls[surface] > 1):
            return self.fault
        # What is to be cancelled must not have ended.
        return (
            "stalled after message 2" if (surface, self.surface, self.calls[surface]) == ("data", "cancel", 1) else ""
        )

    def _goes_down_after(self, surface: str) -> bool:
        if BEFORE.get(self.surface) != surface or self.fault not in ("refused", "refused for a moment"):
            return False
        self.refuse()
        if self.fault == "refused for a moment":
            self.surface = ""
            asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(self.start()))
        return True

    def _reply(self, surface: str) -> Reply:
        match surface:
            case "config":
                return Reply(json.dumps(CONFIG | {"root": self.url}).encode())
            case "info":
                return Reply(b'{"named_endpoints":{}}')
            case "upload":
                return Reply(b'["/tmp/gradio/upload/image.png"]')
            case "join":
                return Reply(json.dumps({"event_id": f"event-{self.calls['join']}"}).encode())
            case "data":
                return Reply(b"".join(self.events), "text/event-stream")
            case "cancel":
                return Reply(b'{"success":true}')
            case "file":
                return Reply(self.picture, "application/octet-stream")
            case _:
                return Reply(b'{"detail":"Not Found"}', status=404)

    async def _stream(self, session: str, fault: str, writer: asyncio.StreamWriter) -> None:
        """The events of a job: as they were recorded, as far as the fault lets them."""
        if self.fault == "restart" and self.calls["data"] == 1:
            # What ran is gone with the process, and the next one knows none of it.
            self.joined.clear()
        if session not in self.joined:
            fault = "session is unknown"
        self._goes_down_after("data")
        head = ["HTTP/1.1 200 OK", "content-type: text/event-stream", "transfer-encoding: chunked", "connection: close"]
        writer.write("\r\n".join([*head, "", ""]).encode())
        for part in script(fault, self.events):
            if isinstance(part, float):
                await asyncio.sleep(part)
                continue
            if self.pause:
                await asyncio.sleep(self.pause)
            is_end = b'"process_completed"' in part or b'"unexpected_error"' in part
            if is_end and part.endswith(b"\n\n"):
                self.over.add(session)
            writer.write(b"%x\r\n" % len(part) + part + b"\r\n")
            await writer.drain()
        if not fault.startswith("cut"):
            await send(writer, b"0\r\n\r\n")


class FaultyReceiver(CallServer):
    """A receiver of webhooks whose paths name faults: the first call of each meets it, later ones are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: collections.Counter[str] = collections.Counter()

    async def start(self) -> FaultyReceiver:
        self.url = f"http://127.0.0.1:{await self._listen()}"
        return self

    def url_of(self, fault: str) -> str:
        return f"{self.url}/{quote(fault)}"

    async def _answer(
        self, head: Head, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        fault = unquote(head.line[1].lstrip("/"))
        self.calls[fault] += 1
        reply = Reply(b"", "text/plain", 200)
        if self.calls[fault] == 1:
            await FAULTS[fault](reply, writer)
        else:
            await send(writer, reply.head())


class SpaceProcess:
    """A Space without faults in a process of its own, which whatever the others have to do keeps waiting no longer."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the Space didn't start"

    def stop(self) -> None:
        self._process.communicate("", timeout=60)


async def serve_until_input_ends() -> None:
    space = await FaultySpace().start()
    print(space.url, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await space.stop()


if __name__ == "__main__":
    asyncio.run(serve_until_input_ends())
