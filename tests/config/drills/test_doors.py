"""Clients of a drill share a front door, and none of them hears or ends what another asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from uuid import UUID, uuid4

import grpc
import pytest
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from config.drills.doors.chat import Chat
from config.drills.doors.grpc import Grpc
from config.drills.doors.rest import Hosts, Rest
from config.drills.load import Refused
from config.supervisor.ports import find_free
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb

pytestmark = [pytest.mark.unit, pytest.mark.timeout(60)]
METHOD = "/forebay.v1.InferenceService/Chat"


async def answer_with_what_was_asked(socket: ServerConnection) -> None:
    async for text in socket:
        message = json.loads(text)["message"]
        await asyncio.sleep(0.05)
        await socket.send(json.dumps({"type": "started", "answer": {"completion": message}}))
        await socket.send(json.dumps({"type": "end"}))


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    async with serve(answer_with_what_was_asked, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        door = Chat([f"http://127.0.0.1:{port}"], "session", "drill", "mock")
        yield door
        await door.close()


async def test_clients_of_the_chat_get_their_own_answers(chat: Chat) -> None:
    requests = [str(uuid4()) for _ in range(4)]
    assert await asyncio.gather(*map(chat.ask, requests)) == [[request] for request in requests]
    assert await chat.ask(requests[0]) == [requests[0]]  # over a socket that is free again


class Servicer(grpc.GenericRpcHandler):
    """Answers slowly, but refuses the requests in `refused` at once."""

    def __init__(self, refused: Sequence[str]) -> None:
        self._refused = refused

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[pb.ChatRequest, pb.ChatResponse]":
        return grpc.unary_unary_rpc_method_handler(
            self._chat,
            request_deserializer=pb.ChatRequest.FromString,
            response_serializer=pb.ChatResponse.SerializeToString,
        )

    async def _chat(
        self,
        message: pb.ChatRequest,
        context: "grpc.aio.ServicerContext[pb.ChatRequest, pb.ChatResponse]",
    ) -> pb.ChatResponse:
        request = str(dict(context.invocation_metadata() or ())["idempotency-key"])
        if request in self._refused:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        await asyncio.sleep(0.3)
        return pb.ChatResponse(request_id=request)


async def test_a_refused_call_ends_no_call_of_another_client() -> None:
    refused, answered = str(uuid4()), str(uuid4())
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Servicer([refused])])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    door = Grpc([address, address], "key", "mock")
    slow = asyncio.create_task(door.ask(answered))
    await asyncio.sleep(0.1)
    with pytest.raises(grpc.aio.AioRpcError):
        await door.ask(refused)
    assert [UUID(each) for each in await slow] == [UUID(answered)]
    await door.close()
    await server.stop(None)


# What failed for good --------------------------------------------------------------------------
FINAL = {"x-should-retry": "false"}


async def test_a_failure_that_stays_is_not_asked_for_again() -> None:
    async def fail(request: web.Request) -> web.Response:
        headers = FINAL if request.headers["Idempotency-Key"] == "failed" else {}
        return web.Response(status=502, headers=headers)

    port, app = find_free(), web.Application()
    app.router.add_post("/v1/chat/completions", fail)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    door = Rest(Hosts([f"http://127.0.0.1:{port}"], "key"), "mock", stream=True)
    asked_again = {name: await _asked_again(door, name) for name in ("failed", "away")}
    await door.close()
    await runner.cleanup()
    assert asked_again == {"failed": False, "away": True}


class Failing(Servicer):
    async def _chat(
        self,
        message: pb.ChatRequest,
        context: "grpc.aio.ServicerContext[pb.ChatRequest, pb.ChatResponse]",
    ) -> pb.ChatResponse:
        request = dict(context.invocation_metadata() or ())["idempotency-key"]
        trailing: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", b"")]
        trailing += FINAL.items() if request == "failed" else ()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "failed", tuple(trailing))
        raise AssertionError


async def test_nor_over_grpc() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Failing([])])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    door = Grpc([address], "key", "mock")
    asked_again = {name: await _asked_again(door, name) for name in ("failed", "away")}
    await door.close()
    await server.stop(None)
    assert asked_again == {"failed": False, "away": True}


async def _asked_again(door: Rest | Grpc, request: str) -> bool:
    with pytest.raises(Refused) as refusal:
        await door.ask(request)
    assert refusal.value.began
    return refusal.value.again
