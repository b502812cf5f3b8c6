"""The generator of load over gRPC, against the server that it measures."""

import asyncio
from typing import Any

import grpc
import pytest

from bench.load.generator import LoadReport, Options
from bench.load.grpc import CHAT, GrpcLoad
from inference.api.grpc.server import Server
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb

pytestmark = pytest.mark.unit
SERVICE, METHOD = CHAT[1:].split("/")


async def loaded(answer: Any) -> LoadReport:
    methods: Any = {METHOD: grpc.unary_unary_rpc_method_handler(answer)}
    handler = grpc.method_handlers_generic_handler(SERVICE, methods)
    server = Server([handler], [SERVICE], largest=65_536, grace_s=1, connections=100)
    port = server.listen("127.0.0.1:0")
    await server.start()
    options = Options(
        url=f"http://127.0.0.1:{port}",
        key="k",
        model="mock",
        stream=False,
        concurrency=8,
        requests=100,
        warmup=0,
        tokens=64,
    )
    try:
        return await GrpcLoad(options).run()
    finally:
        await server.stop(0)


async def test_it_counts_good_answers() -> None:
    asked: list[pb.ChatRequest] = []

    async def answer(sent: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        asked.append(pb.ChatRequest.FromString(sent))
        metadata = dict(context.invocation_metadata() or ())
        assert metadata["authorization"] == "Bearer k"
        await asyncio.sleep(0)
        return pb.ChatResponse(usage=pb.Usage(completion_tokens=64)).SerializeToString()

    report = await loaded(answer)
    assert (report.all, report.bad) == (100, 0)
    assert len({request.messages[0].content for request in asked}) == 100


async def test_it_counts_bad_ones() -> None:
    async def answer(sent: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if sent[-1] % 2:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no")
        return pb.ChatResponse(usage=pb.Usage(completion_tokens=3)).SerializeToString()

    report = await loaded(answer)
    assert report.bad == report.all == 100
