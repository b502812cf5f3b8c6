"""The shop's web server: it checks the signature of each call, then does the action."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.service.shop import Refused, Shop, as_answer

LATEST_S = 300  # age of a signature


class Webhooks:
    """`secrets` has the secret of each action, by its name."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.secrets = shop, dict[str, str]()
        self.refused = 0  # calls without a right signature

    def answer(self, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        """Returns the status and the fields of the answer to a call."""
        call: dict[str, Any] = json.loads(body)
        if not is_genuine(headers, body, self.secrets.get(str(call.get("action")), "")):
            self.refused += 1
            return 401, {"reason": "wrong signature"}
        try:
            order = self.shop.do(call["id"], call["dialogue"], call["action"], call["arguments"])
        except Refused as refusal:
            return 409, {"reason": str(refusal)}
        return 200, as_answer(order)


def is_genuine(headers: Any, body: bytes, secret: str) -> bool:
    """Returns whether the platform sent it just now (docs/api/webhooks.md)."""
    call_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "0")
    if not secret or abs(time.time() - int(timestamp)) > LATEST_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{call_id}.{timestamp}.".encode() + body, sha256)
    wanted = f"v1,{base64.b64encode(digest).decode()}"
    signatures = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(each, wanted) for each in signatures)


@contextmanager
def serving(webhooks: Webhooks) -> Iterator[str]:
    """Serve on a free port of this machine. Yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, fields = webhooks.answer(self.headers, body)
            content = json.dumps(fields).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/shop"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
