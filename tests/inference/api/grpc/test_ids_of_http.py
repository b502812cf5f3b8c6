"""A request that began over HTTP is known over gRPC by the id that its answer has there."""

from collections.abc import AsyncIterator

import grpc
import pytest

from inference.api.grpc.methods import NAMES, handlers
from inference.api.grpc.server import Server
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb
from inference.intake.context import Context
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.api import stream_readers
from tests.inference.api.stream_readers import issued, streamed

context = stream_readers.context
FORMS = ("{}", "chatcmpl-{}", "cmpl-{}", "resp_{}", "msg_{}", "rerank-{}")


@pytest.fixture
async def address(context: Context) -> AsyncIterator[str]:
    server = Server(handlers(context), NAMES, largest=64 * 1024, grace_s=1, connections=100)
    port = server.listen("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def test_it_is_cancelled_and_resumed_by_it(
    address: str, link: RedisLink, acme: Tenant
) -> None:
    key, text = await issued(acme)
    completion = (await streamed(link, acme, api_key=key)).hex
    metadata = (("authorization", f"Bearer {text}"),)
    async with grpc.aio.insecure_channel(address) as channel:
        cancel = channel.unary_unary(
            f"/{NAMES[0]}/Cancel",
            pb.CancelRequest.SerializeToString,
            pb.CancelResponse.FromString,
        )
        resume = channel.unary_stream(
            f"/{NAMES[0]}/Resume",
            pb.ResumeRequest.SerializeToString,
            pb.AnswerEvent.FromString,
        )
        for form in FORMS:
            own = form.format(completion)
            answer = await cancel(pb.CancelRequest(request_id=own), metadata=metadata)
            assert not answer.was_running
            after_all = pb.ResumeRequest(request_id=own, after_event=3)
            assert [event async for event in resume(after_all, metadata=metadata)] == []
        with pytest.raises(grpc.aio.AioRpcError, match="no such request"):
            await cancel(pb.CancelRequest(request_id=f"x_{completion}"), metadata=metadata)
