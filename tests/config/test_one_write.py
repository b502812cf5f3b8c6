"""An answer's head leaves with what follows it, and waits for nothing."""

import asyncio
from typing import Any

import pytest

from config.http.coalesced_write import MOST_JOINED, HeadWithBody

pytestmark = pytest.mark.unit


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def head_of(below: Transport) -> HeadWithBody:
    seen: Any = below
    answer = HeadWithBody(seen, asyncio.get_running_loop())
    answer.write(b"head,")
    return answer


async def test_head_and_body_are_one_write() -> None:
    below = Transport()
    answer = await head_of(below)
    answer.write(b"body,")
    answer.write(b"more")
    await asyncio.sleep(0)
    assert below.written == [b"head,body,", b"more"]


async def test_a_head_alone_leaves_when_the_turn_is_over() -> None:
    below = Transport()
    answer = await head_of(below)
    assert not below.written
    await asyncio.sleep(0)
    assert below.written == [b"head,"]
    answer.write(b"body")
    assert below.written == [b"head,", b"body"]


async def test_a_large_body_is_not_copied() -> None:
    below, large = Transport(), b"x" * (MOST_JOINED + 1)
    (await head_of(below)).write(large)
    assert below.written == [b"head,", large]
    assert below.written[1] is large


async def test_an_empty_body_takes_the_head_along() -> None:
    below = Transport()
    answer = await head_of(below)
    answer.write(b"")
    assert below.written == [b"head,"]
    answer.close()
    assert below.closed


async def test_who_closes_sends_the_head_first_and_nothing_follows() -> None:
    below = Transport()
    answer = await head_of(below)
    answer.close()
    await asyncio.sleep(0)
    assert below.written == [b"head,"]
