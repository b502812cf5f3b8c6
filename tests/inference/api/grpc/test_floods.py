"""HTTP/2 as an attacker speaks it: whoever floods is cut off, and nobody else notices."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from inference.api.grpc.server import STREAMS_PER_CONNECTION
from tests.inference.api.grpc.conftest import Serve, echo_of
from tests.inference.api.grpc.hostile import Hostile, hostile

pytestmark = pytest.mark.unit


def rapid_reset(client: Hostile) -> None:
    """CVE-2023-44487: calls that are taken back at once."""
    for _ in range(100):
        client.h2.reset_stream(client.open())
    client.flush()


def pings(client: Hostile) -> None:
    for _ in range(100):
        client.h2.ping(b"12345678")
    client.flush()


def settings(client: Hostile) -> None:
    for _ in range(100):
        client.h2.update_settings({4: 65_535})
    client.flush()


@asynccontextmanager
async def under(attack: Callable[[Hostile], None], address: str) -> AsyncIterator[list[Hostile]]:
    """While a thread attacks on one connection after another."""
    over = threading.Event()
    used: list[Hostile] = []

    def work() -> None:
        while not over.is_set():
            with hostile(address) as client:
                used.append(client)
                for _ in range(20):
                    if client.closed or over.is_set():
                        break
                    attack(client)
                client.listen(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield used
    finally:
        over.set()
        await asyncio.to_thread(thread.join, 30)


@pytest.mark.parametrize("attack", [rapid_reset, pings, settings])
async def test_nobody_else_notices(serve: Serve, attack: Any) -> None:
    address = await serve()
    async with grpc.aio.insecure_channel(address) as channel, under(attack, address) as used:
        for n in range(100):
            assert await echo_of(channel)(b"%d" % n, timeout=10) == b"%d" % n
        assert used


async def test_pings_beyond_the_bound_end_the_connection(serve: Serve) -> None:
    address = await serve()

    def attack() -> Hostile:
        with hostile(address) as client:
            while not client.closed:
                pings(client)
                client.listen(0.2)
            return client

    client = await asyncio.to_thread(attack)
    assert client.closed
    assert client.told["ConnectionTerminated"]


async def never(request: bytes, context: Any) -> bytes:
    await asyncio.Event().wait()
    return request


async def test_ten_thousand_calls_on_one_connection(serve: Serve) -> None:
    """All but as many as may run at once are refused, and nothing of theirs is run."""
    address = await serve(answer=never)

    def attack() -> Hostile:
        with hostile(address) as client:
            client.ignore_the_bound()
            for _ in range(100):
                for _ in range(0 if client.closed else 100):
                    client.open()
                client.flush()
                client.listen(0.01)
            client.listen(1)
            return client

    client = await asyncio.to_thread(attack)
    refused = client.told["StreamReset <ErrorCodes.REFUSED_STREAM: 7>"]
    assert refused == 10_000 - STREAMS_PER_CONNECTION


async def test_more_connections_than_there_may_be(serve: Serve) -> None:
    """Those that are there stay; one that goes makes room."""
    address = await serve(connections=3)
    async with grpc.aio.insecure_channel(address) as channel:
        assert await echo_of(channel)(b"x", timeout=5) == b"x"
        with hostile(address) as first, hostile(address) as second, hostile(address) as third:
            for client in (first, second, third):
                await asyncio.to_thread(client.listen, 0.3)
            assert [client.closed for client in (first, second, third)] == [False, False, True]
            assert await echo_of(channel)(b"x", timeout=5) == b"x"
