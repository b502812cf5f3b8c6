"""A server that speaks OpenAI's protocol, of a model that is a folder: for machines without GPUs.

`python3 engine_program.py FOLDER NAME PORT`. FOLDER/model.json says what it answers: `words`, and
`fault`: "silent" (answers nothing), "broken" (ends as it starts) or nothing. Needs only Python.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

INTERVAL_S = 0.02  # between words


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: dict[str, Any] = {}
    name = ""

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send({})
        elif self.path == "/v1/models":
            self._send({"object": "list", "data": [{"id": self.name, "object": "model"}]})
        else:
            self._send({"error": {"message": "no such path"}}, 404)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.model.get("fault") == "silent":
            self._send({"choices": [{"index": 0, "message": {"content": ""}}]})
        elif request.get("stream"):
            self._stream(self.model["words"].split())
        else:
            time.sleep(INTERVAL_S * len(self.model["words"].split()))
            self._send(
                self._answer("message", self.model["words"], "stop") | {"usage": self._usage}
            )

    def _stream(self, words: list[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in words:
            time.sleep(INTERVAL_S)
            self._event(self._answer("delta", f"{word} ", None))
        self._event(self._answer("delta", "", "stop"))
        self._event({**self._answer("delta", "", None), "choices": [], "usage": self._usage})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _answer(self, part: str, text: str, finish: str | None) -> dict[str, Any]:
        return {
            "id": "a",
            "object": "chat.completion" + (".chunk" if part == "delta" else ""),
            "created": int(time.time()),
            "model": self.name,
            "choices": [
                {
                    "index": 0,
                    part: {"role": "assistant", "content": text},
                    "finish_reason": finish,
                }
            ],
        }

    @property
    def _usage(self) -> dict[str, int]:
        words = len(self.model["words"].split())
        return {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": words + 1}

    def _event(self, data: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(data).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _send(self, answer: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main(folder: str, name: str, port: str) -> None:
    Handler.model = json.loads((Path(folder) / "model.json").read_text())
    Handler.name = name
    if Handler.model.get("fault") == "broken":
        sys.exit("the model is broken")
    ThreadingHTTPServer(("", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
