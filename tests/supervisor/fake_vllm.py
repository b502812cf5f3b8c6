#!/usr/bin/env python3
"""Stands in for `vllm`: `vllm serve MODEL --port P …` with a process of its own beside it.

What it was given stands in the file FAKE_VLLM_TOLD. It is ready once the file FAKE_VLLM_GATE is
there, where that is named.
"""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def option(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        gate = os.environ.get("FAKE_VLLM_GATE")
        if self.path == "/health":
            self.answer(503 if gate and not Path(gate).exists() else 200, {})
        else:
            model = {"id": option("--served-model-name"), "max_model_len": 512}
            self.answer(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != f"Bearer {os.environ['VLLM_API_KEY']}":
            self.answer(401, {"error": {"message": "no"}})
        elif self.path == "/tokenize":
            self.answer(200, {"count": 5})
        else:
            self.complete(body)

    def complete(self, body: dict[str, object]) -> None:
        message = {"role": "assistant", "content": f"{os.getpid()} {body.get('priority', 0)}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        self.answer(200, {"id": "1", "object": "x", "choices": [choice], "usage": usage})

    def answer(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    told = {"argv": sys.argv[1:], "env": dict(os.environ), "pid": os.getpid()}
    told |= {"child": child.pid, "parent": os.getppid()}
    place = Path(os.environ["FAKE_VLLM_TOLD"])
    draft = place.with_suffix(".draft")
    draft.write_text(json.dumps(told))
    draft.replace(place)  # whoever reads it never finds half of it
    print("fake vLLM is loading", flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(option("--port"))), Handler).serve_forever()


if __name__ == "__main__":
    main()
