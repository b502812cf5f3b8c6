"""An OpenAI-compatible engine that says back what it was asked, and fails when it is told to.

The last word of the prompt is the stage direction: SLOW never ends, BREAK breaks off in the middle,
CUT ends sooner than it has announced, FAIL is a 500 and REFUSE a 400, both with the prompt in their
message.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


class EchoEngine(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.over = Event()
        self.traces: list[str] = []  # the traceparent of each request

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    server: EchoEngine

    def do_GET(self) -> None:
        """The list of models, by which the platform sees that the engine answers."""
        self._json(200, {"data": [{"id": "echo"}]})

    def do_POST(self) -> None:
        self.server.traces.append(self.headers["traceparent"] or "")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.chat = "messages" in body
        prompt = body["messages"][-1]["content"] if self.chat else body["prompt"]
        text = prompt if isinstance(prompt, str) else json.dumps(prompt)
        if text.endswith(("FAIL", "REFUSE")):
            error = {"error": {"message": f"cannot answer {text}", "type": "x"}}
            self._json(500 if text.endswith("FAIL") else 400, error)
        elif body.get("stream"):
            self._stream(text)
        else:
            self._whole(text)

    def _whole(self, text: str) -> None:
        if text.endswith("SLOW"):
            self.server.over.wait(60)
        message = (
            {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        )
        choice = {"index": 0, "finish_reason": "stop", **message}
        answer = {"id": "x", "object": "x", "choices": [choice], "usage": usage(text)}
        self._json(200, answer, missing=text.endswith("CUT"))

    def _stream(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for piece in (text, " and again ", text):
            self._event(choices=[self._delta(piece)])
            time.sleep(0.02)
        if text.endswith("SLOW"):
            self.server.over.wait(60)
        if text.endswith("BREAK"):
            return
        self._event(choices=[{**self._delta(""), "finish_reason": "stop"}])
        self._event(choices=[], usage=usage(text))
        self.wfile.write(b"data: [DONE]\n\n")

    def _delta(self, text: str) -> dict[str, Any]:
        said = {"delta": {"content": text}} if self.chat else {"text": text}
        return {"index": 0, "finish_reason": None, **said}

    def _event(self, **fields: Any) -> None:
        event = {"id": "x", "object": "x", "created": 1, "model": "echo", **fields}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def _json(self, status: int, answer: dict[str, Any], *, missing: bool = False) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the screen."""


def usage(text: str) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}


@contextmanager
def echo() -> Iterator[EchoEngine]:
    server = EchoEngine()
    thread = Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
