"""A receiver of webhooks that verifies each message and saves the images of the task that it reports.

WEBHOOK_SECRET=whsec_… python webhook.py 8000

The server needs `webhook_host=http://127.0.0.1:8000` and the same `webhook_secret`; a request asks to be reported with
`"async": true, "webhook_url": "http://127.0.0.1:8000/images"`. docs/tasks.md says what is promised.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
TOLERANCE = 300
"""Greatest age of a message, in seconds: an older one may be somebody's copy."""

seen: set[str] = set()
"""Ids of the messages that were acted upon. A message may come more than once, always with the same id."""


def is_genuine(headers, body: bytes) -> bool:
    """True where one of the signatures is ours, as Standard Webhooks defines them."""
    name, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    signed = f"{name}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split())


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not is_genuine(self.headers, body):
            self.answer(401)
            return
        # Anything but 2xx has the message sent again, so what takes long belongs behind the answer.
        self.answer(204)
        if self.headers["webhook-id"] not in seen:
            seen.add(self.headers["webhook-id"])
            act(json.loads(body))

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def act(message: dict) -> None:
    task = message["data"]
    print(f"{message['type']}: {task['id']}", flush=True)
    if task["status"] != "succeeded":
        return
    for image in task["data"]:
        name = f"{task['id']}-{image['seed']}.{image['url'].rpartition('.')[2]}"
        with urllib.request.urlopen(image["url"]) as answer, open(name, "wb") as file:
            file.write(answer.read())
        print(name, flush=True)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"Listening at http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
