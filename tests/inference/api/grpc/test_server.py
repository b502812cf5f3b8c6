"""What any client may do to the server, with or without a key."""

import asyncio
import gzip
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from inference.api.grpc.server import STREAMS_PER_CONNECTION
from tests.inference.api.grpc.conftest import Serve, echo_of

pytestmark = pytest.mark.unit


async def asked(address: str, message: bytes, **how: Any) -> bytes:
    async with grpc.aio.insecure_channel(address) as channel:
        answer: bytes = await echo_of(channel)(message, **how)
        return answer


async def refused(address: str, message: bytes, **how: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as problem:
        await asked(address, message, **how)
    return problem.value.code()


async def test_a_message_of_ordinary_size(serve: Serve) -> None:
    assert await asked(await serve(), b"x" * 60_000) == b"x" * 60_000


async def test_more_calls_at_once_than_a_connection_may_have(serve: Serve) -> None:
    """Its client is told the bound, and waits."""
    async with grpc.aio.insecure_channel(await serve()) as channel:
        asked = [echo_of(channel)(b"%d" % n) for n in range(4 * STREAMS_PER_CONNECTION)]
        answers = await asyncio.gather(*asked)
    assert len(set(answers)) == 4 * STREAMS_PER_CONNECTION


async def test_a_message_that_is_too_large(serve: Serve) -> None:
    code = await refused(await serve(), b"x" * 70_000)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_small_message_that_unpacks_to_a_large_one(serve: Serve) -> None:
    """Nothing is unpacked at all."""
    bomb = b"\0" * 50_000_000
    assert len(gzip.compress(bomb)) < 64 * 1024
    code = await refused(await serve(), bomb, compression=grpc.Compression.Gzip)
    assert code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED)


async def test_metadata_that_is_too_large(serve: Serve) -> None:
    code = await refused(await serve(), b"x", metadata=[("x", "y" * 20_000)])
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_method_that_is_not_there(serve: Serve) -> None:
    address = await serve()
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as problem:
            other: Any = channel.unary_unary("/test.Echo/Other")
            await other(b"")
    assert problem.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("service", ["", "test.Echo"])
async def test_health(serve: Serve, service: str) -> None:
    async with grpc.aio.insecure_channel(await serve()) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def listed(address: str) -> list[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with grpc.aio.insecure_channel(address) as channel:
        reflected: Any = channel
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(reflected)
        async for answer in stub.ServerReflectionInfo(iter([request])):
            return [service.name for service in answer.list_services_response.service]
    return []


async def test_reflection_is_off_by_default(serve: Serve) -> None:
    """Its message goes with the call: one sent after the refusal would be an error of its own."""
    async with grpc.aio.insecure_channel(await serve()) as channel:
        asked: Any = channel.unary_unary(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        with pytest.raises(grpc.aio.AioRpcError) as problem:
            await asked(b"")
    assert problem.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_by_option(serve: Serve) -> None:
    assert "test.Echo" in await listed(await serve(reflected=True))
