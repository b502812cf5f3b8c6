"""python -m bench.servers.bare rest|grpc PORT: a front end with nothing behind it.

It shows what the library of a front end takes of each request. Both run on uvloop, read the message
of a chat, wait a moment as for an engine, and send the same answer with the same headers.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import orjson
import uvicorn
import uvloop

from bench.load.grpc import CHAT
from bench.servers.child import Child, wait_until_listening
from bench.servers.processes import use_by_role
from bench.servers.targets import MODEL, Target
from config.supervisor.ports import find_free
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb

TOKENS = 64
TEXT = "token " * TOKENS
WAIT_S = 0.003
HEADERS = [(f"x-forebay-header-{n}", f"value of header {n}") for n in range(12)]
REST, GRPC = "bare REST", "bare gRPC"
GENERATORS = {REST: "bench.load", GRPC: "bench.load.grpc"}


@contextmanager
def running(name: str, folder: Path) -> Iterator[Target]:
    """It runs while the context lasts."""
    port = find_free()
    kind, path = ("grpc", "") if name == GRPC else ("rest", "/v1")
    command = [sys.executable, "-m", "bench.servers.bare", kind, str(port)]
    child = Child(command, folder / f"{kind}.log")
    try:
        wait_until_listening(port, 30)
        url = f"http://127.0.0.1:{port}{path}"
        use = partial(use_by_role, child.pid, lambda _: name)
        yield Target(name, url, "none", MODEL, use, GENERATORS[name])
    finally:
        child.stop()


# REST --------------------------------------------------------------------------------------------
_JSON = orjson.dumps(
    {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}}],
        "usage": {"completion_tokens": TOKENS},
    }
)
_LINES = [(name.encode(), value.encode()) for name, value in HEADERS]
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [*_LINES, (b"content-length", b"%d" % len(_JSON))],
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["more_body"]:
        pass
    await asyncio.sleep(WAIT_S)
    await send(_START)
    await send({"type": "http.response.body", "body": _JSON})


def serve_rest(port: int) -> None:
    quiet: dict[str, Any] = {"lifespan": "off", "access_log": False, "log_level": "warning"}
    uvicorn.run(application, port=port, http="httptools", loop="uvloop", **quiet)


# gRPC --------------------------------------------------------------------------------------------
_MESSAGE = pb.ChatResponse(text=TEXT, usage=pb.Usage(completion_tokens=TOKENS)).SerializeToString()


async def answer(_: Any, context: Any) -> bytes:
    await context.read()
    await asyncio.sleep(WAIT_S)
    context.set_trailing_metadata(HEADERS)
    return _MESSAGE


async def serve_grpc(port: int) -> None:
    service, method = CHAT[1:].split("/")
    methods: Any = {method: grpc.stream_unary_rpc_method_handler(answer)}
    handler = grpc.method_handlers_generic_handler(service, methods)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[1] == "grpc":
        uvloop.run(serve_grpc(int(sys.argv[2])))
    else:
        serve_rest(int(sys.argv[2]))
