"""Clients that open calls and let the server wait: what they hold is theirs alone."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pytest_django.fixtures import Settings

from inference.api.grpc import keyless
from inference.api.grpc import rpc as calls
from inference.api.grpc.server import Server
from inference.errors import ApiError, LimitReached
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.intake.limits.unadmitted_bodies import BodyBudget, BodyMemory
from tenants.caller import Caller
from tests.inference.api.grpc.conftest import Serve
from tests.inference.api.grpc.hostile import EMPTY, Hostile, hostile
from tests.inference.api.grpc.wire import rpc

pytestmark = pytest.mark.unit
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture
def attackers() -> Iterator[Callable[..., Hostile]]:
    with ExitStack() as opened:
        yield lambda *args, **options: opened.enter_context(hostile(*args, **options))


async def check(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        return int(answer.status)


# Without a key -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "sent", "window"),
    [(CHECK, None, 65_535), (WATCH, EMPTY, 65_535), (CHECK, EMPTY, 0), (REFLECTION, None, 65_535)],
)
async def test_an_address_has_few_calls_open_that_need_no_key(
    serve: Serve, attackers: Any, path: str, sent: bytes | None, window: int
) -> None:
    address = await serve(reflected=True)

    def attack() -> Hostile:
        client: Hostile = attackers(address, window=window)
        for _ in range(2 * keyless.CALLS_PER_ADDRESS):
            client.open(path, sent)
        client.flush()
        client.listen(0.5)
        return client

    client = await asyncio.to_thread(attack)
    assert client.told["grpc-status 8"] == keyless.CALLS_PER_ADDRESS  # RESOURCE_EXHAUSTED
    client.close()
    await ended_well(address)


async def ended_well(address: str) -> None:
    """The places are free again when the connection has ended."""
    for _ in range(50):
        try:
            await check(address)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.1)
        else:
            return
    raise AssertionError


async def test_a_watcher_that_does_not_read_hinders_nobody(
    serve: Serve, started: list[Server], attackers: Any
) -> None:
    """Nor the server when it tells how it is, nor when it stops."""
    address = await serve()

    def attack() -> None:
        client: Hostile = attackers(address, window=0)
        client.open(WATCH, EMPTY)
        client.flush()
        client.listen(0.3)

    await asyncio.to_thread(attack)
    started[0].works(well=False)
    assert await check(address) == health_pb2.HealthCheckResponse.NOT_SERVING


# With one ----------------------------------------------------------------------------------------
class Stalled:
    """A call whose client neither sends nor reads."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def write(self, sent: bytes) -> None:
        await asyncio.Event().wait()


async def test_a_message_is_not_waited_for_without_end(settings: Settings) -> None:
    settings.BODY_TIMEOUT_S = 0.01
    with pytest.raises(ApiError) as problem:
        await calls.message(Stalled(), BodyMemory(BodyBudget(9), tuple), 1)
    assert problem.value.status == 408


async def test_nor_is_a_client_that_does_not_read(settings: Settings) -> None:
    settings.SEND_TIMEOUT_S = 0.01
    with pytest.raises(ApiError) as problem:
        await calls.write(Stalled(), b"x")
    assert problem.value.status == 408


def test_a_tenant_has_its_share_of_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is its tenant's until its end is read."""
    monkeypatch.setattr("inference.api.grpc.rpc.CALLS_PER_TENANT", 2)
    open_calls, own = ConcurrencyLimit(10), [rpc("ipv4:127.0.0.1:9") for _ in range(3)]
    tenant, other = (cast("Caller", SimpleNamespace(tenant_id=n)) for n in (1, 2))
    for one in own[:2]:
        one.enter(tenant, open_calls)
    with pytest.raises(LimitReached) as problem:
        own[2].enter(tenant, open_calls)
    assert problem.value.tier == "open_calls"
    rpc("ipv4:127.0.0.1:9").enter(other, open_calls)
    cast("Any", own[0])._wire.end(None)
    own[2].enter(tenant, open_calls)


async def test_bytes_that_are_no_message_are_the_clients_fault(serve: Serve) -> None:
    async with grpc.aio.insecure_channel(await serve()) as channel:
        ask: Any = channel.unary_unary(CHECK)
        with pytest.raises(grpc.aio.AioRpcError) as problem:
            await ask(b"\xff\xff", timeout=5)
    assert problem.value.code() == grpc.StatusCode.INVALID_ARGUMENT
