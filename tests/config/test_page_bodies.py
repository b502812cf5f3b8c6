"""Strangers' forms take little memory, and keep out no ordinary form."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest

from config.pages import handler
from config.pages.handler import MOST_BYTES, bounded
from inference.intake.limits.unadmitted_bodies import FREE, BodyBudget, budget

pytestmark = pytest.mark.unit
MEGABYTE = 1_000_000


@pytest.fixture(autouse=True)
def bodies(monkeypatch: pytest.MonkeyPatch) -> BodyBudget:
    monkeypatch.setattr(handler, "MOST", 5 * MEGABYTE)
    monkeypatch.setattr(handler, "MOST_OF_ADDRESS", 3 * MEGABYTE)
    return budget()


class Sent:
    """A request whose body arrives but for its end; `ended` lets that arrive too."""

    def __init__(self, address: str, body: bytes, *, packed: bool = False) -> None:
        self.ended, self.begun = asyncio.Event(), False
        self.answers: list[dict[str, Any]] = []
        self.handled = self.gone = False
        self._body = gzip.compress(body, mtime=0) if packed else body
        headers = [(b"content-encoding", b"gzip")] if packed else []
        scope = {"type": "http", "path": "/login/", "query_string": b"", "headers": headers}
        scope["client"] = (address, 1)
        self.task = asyncio.create_task(bounded(self._page, scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self.begun:
            self.begun = True
            return {"type": "http.request", "body": self._body, "more_body": True}
        await self.ended.wait()
        if self.gone:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _page(self, _scope: Any, receive: Any, send: Any) -> None:
        await receive()
        self.handled = True
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def _send(self, message: dict[str, Any]) -> None:
        self.answers.append(message)

    async def status(self) -> int:
        self.ended.set()
        await self.task
        return int(self.answers[0]["status"]) if self.answers else 0


@pytest.fixture
async def flood() -> AsyncIterator[list[Sent]]:
    """An address that sends large bodies and does not end them."""
    found = [Sent("192.0.2.1", b"x" * MEGABYTE) for _ in range(10)]
    await asyncio.sleep(0)
    yield found
    for sent in found:
        await sent.status()


async def test_an_address_holds_so_much_and_no_more(flood: list[Sent], bodies: BodyBudget) -> None:
    assert bodies.total <= 3 * MEGABYTE
    refused = [sent for sent in flood if sent.task.done()]
    assert len(refused) == 7
    assert {sent.answers[0]["status"] for sent in refused} == {503}
    assert b"try again" in refused[0].answers[1]["body"]
    assert (b"retry-after", b"5") in refused[0].answers[0]["headers"]


async def test_ordinary_forms_get_through_also_from_there(flood: list[Sent]) -> None:
    assert await Sent("192.0.2.1", b"x" * FREE).status() == 200
    assert await Sent("192.0.2.1", b"x" * MEGABYTE).status() == 503
    assert await Sent("192.0.2.2", b"x" * MEGABYTE).status() == 200


async def test_all_addresses_together(bodies: BodyBudget) -> None:
    sent = [Sent(f"192.0.2.{n}", b"x" * MEGABYTE) for n in range(9)]
    await asyncio.sleep(0)
    assert bodies.total <= 5 * MEGABYTE
    assert await Sent("198.51.100.1", b"x" * FREE).status() == 200
    assert sorted([await one.status() for one in sent]) == [200] * 5 + [503] * 4
    assert bodies.total == 0
    assert not bodies._taken


async def test_what_is_packed_counts_as_it_is_unpacked(flood: list[Sent]) -> None:
    assert await Sent("192.0.2.1", b"x" * MEGABYTE, packed=True).status() == 503


async def test_it_counts_while_the_page_runs_and_no_longer(bodies: BodyBudget) -> None:
    counted: list[int] = []

    class Counting(Sent):
        async def _page(self, scope: Any, receive: Any, send: Any) -> None:
            counted.append(bodies.total)
            await super()._page(scope, receive, send)
            raise RuntimeError("the page breaks")

    with pytest.raises(RuntimeError):
        await Counting("192.0.2.1", b"x" * MEGABYTE).status()
    assert counted == [MEGABYTE - FREE]
    assert bodies.total == 0


async def test_who_goes_or_sends_too_much_gives_back(bodies: BodyBudget) -> None:
    sent = Sent("192.0.2.1", b"x" * MEGABYTE)
    await asyncio.sleep(0)
    sent.gone = True
    assert await sent.status() == 0
    assert await Sent("192.0.2.1", b"x" * (MOST_BYTES + 1)).status() == 413
    assert bodies.total == 0
