"""Messages that never end: HTTP/2 hands over no more of them than the budget has room for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from h2.exceptions import StreamClosedError
from pytest_django.fixtures import Settings

from inference.api.grpc import rpc
from inference.api.grpc.server import UNREAD, Server
from inference.intake.limits import unadmitted_bodies
from inference.intake.limits.unadmitted_bodies import BodyBudget, BodyMemory
from tests.inference.api.grpc.conftest import ECHO
from tests.inference.api.grpc.hostile import Hostile, hostile

pytestmark = pytest.mark.unit
LARGEST = 512 * 1024
CALLS = 60
HEALTH = "/grpc.health.v1.Health/Check"
Start = Callable[[], Awaitable[str]]


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> BodyBudget:
    settings.MAX_BODY_BYTES = LARGEST
    budget = BodyBudget(4 * LARGEST)
    monkeypatch.setattr(unadmitted_bodies, "budget", lambda: budget)
    return budget


@pytest.fixture
def start(budget: BodyBudget, started: list[Server]) -> Start:
    """Starts a server whose one method reads its message as those of the API do."""

    async def answer(_: Any, wire: Any) -> bytes:
        held = BodyMemory(budget, lambda: unadmitted_bodies.of_caller(None, rpc.address(wire)))
        try:
            sent: bytes = await rpc.message(wire, held, LARGEST)
            return sent
        finally:
            held.release()

    async def begin() -> str:
        methods: Any = {"Echo": grpc.stream_unary_rpc_method_handler(answer)}
        handler = grpc.method_handlers_generic_handler("test.Echo", methods)
        server = Server([handler], ["test.Echo"], largest=LARGEST, grace_s=1, connections=100)
        port = server.listen("127.0.0.1:0")
        await server.start()
        server.works(well=True)
        started.append(server)
        return f"127.0.0.1:{port}"

    return begin


def send_all_but_the_end(client: Hostile, path: str) -> int:
    """As much of CALLS messages as the server takes; how many bytes that is."""
    message = b"\0" + (LARGEST - 5).to_bytes(4) + bytes(LARGEST - 6)
    left = {client.open(path, None): message for _ in range(CALLS)}
    taken = idle = 0
    while idle < 2:
        before = taken
        for stream, rest in list(left.items()):
            try:
                piece = rest[: min(client.h2.local_flow_control_window(stream), 16_384)]
                if piece:
                    client.h2.send_data(stream, piece)
            except StreamClosedError:
                del left[stream]
                continue
            client.flush()
            left[stream], taken = rest[len(piece) :], taken + len(piece)
        idle = idle + 1 if taken == before else 0
        client.listen(0.5 if idle else 0.01)
    return taken


@pytest.mark.parametrize("path", [ECHO, HEALTH])
async def test_messages_that_never_end_take_a_bounded_memory(
    start: Start, budget: BodyBudget, path: str
) -> None:
    address = await start()
    with hostile(address) as client:
        taken = await asyncio.to_thread(send_all_but_the_end, client, path)
        assert budget.total <= 2 * LARGEST  # as much as remains free
        assert taken <= budget.total + CALLS * 2 * UNREAD
    await until_free(budget)


async def test_whoever_waits_for_room_comes_in_once_there_is_some(
    start: Start, budget: BodyBudget
) -> None:
    address = await start()
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(ECHO)
        with hostile(address) as client:
            await asyncio.to_thread(send_all_but_the_end, client, ECHO)
            waiting = [asyncio.ensure_future(call(b"%d" % n)) for n in range(20)]
            await asyncio.wait(waiting, timeout=0.3)
        assert await asyncio.gather(*waiting) == [b"%d" % n for n in range(20)]
        assert await call(bytes(LARGEST - 100)) == bytes(LARGEST - 100)
    await until_free(budget)


async def test_strangers_leave_room_for_callers_with_a_key(
    start: Start, budget: BodyBudget
) -> None:
    address = await start()
    with hostile(address) as client:
        await asyncio.to_thread(send_all_but_the_end, client, HEALTH)
        key = (unadmitted_bodies.BodyOwner("API key", "1", LARGEST * 2),)
        assert budget.take(key, LARGEST) is None
        budget.give_back(key, LARGEST)
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(10):
        health: Any = health_pb2_grpc.HealthStub(channel)
        while (status := await checked(health)) == grpc.StatusCode.RESOURCE_EXHAUSTED:
            await asyncio.sleep(0.05)  # the server has not noticed yet that the others are gone
    assert status == health_pb2.HealthCheckResponse.SERVING


async def checked(health: Any) -> Any:
    try:
        return (await health.Check(health_pb2.HealthCheckRequest(service=""))).status
    except grpc.aio.AioRpcError as refused:
        return refused.code()


async def until_free(budget: BodyBudget) -> None:
    async with asyncio.timeout(10):
        while budget.total:
            await asyncio.sleep(0.01)
