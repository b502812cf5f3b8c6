"""A server that is an engine's new version: ready when it is told so, with one answer for all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from inference.models import Engine, Replacement
from inference.registry.versions import proposed

BY = "test"
OLD = "http://127.0.0.1:9/v1"
HOW = ("load_within_s", "warm_ups", "keeps_old", "may_take_less")


class Version(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ready, self.chats = True, True
        self.text = "one two three"
        self.model = "theirs"
        self.context = 0
        self.asked: list[dict[str, Any]] = []
        self.looks = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def answer(self) -> dict[str, Any]:
        choice = {"message": {"role": "assistant", "content": self.text}, "finish_reason": "stop"}
        return {"model": self.model, "choices": [choice], "usage": {"completion_tokens": 3}}


class _Handler(BaseHTTPRequestHandler):
    server: Version

    def do_GET(self) -> None:
        self.server.looks += 1
        model = {"id": self.server.model, "max_model_len": self.server.context or 8192}
        self._json(200 if self.server.ready else 503, {"data": [model], "total_slots": 1})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        if "messages" in asked and not self.server.chats:
            self._json(400, {"error": {"message": "no chat template"}})
        elif "messages" in asked:
            self._json(200, self.server.answer)
        else:
            self._json(200, {"choices": [{"text": self.server.text}]})

    def _json(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Version]:
    server = Version()
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def begun(engine: Engine, version: Version, **given: Any) -> Replacement:
    how = {"load_within_s": 30, **{k: given.pop(k) for k in list(given) if k in HOW}}
    return Replacement.begin(engine, *proposed(engine, {"url": version.url, **given}), by=BY, **how)
