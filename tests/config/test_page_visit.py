"""The turn of its process that a request for a page takes, until its answer has been read."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest

from config.pages import page_request
from config.pages.handler import bounded
from config.pages.page_request import count_handshake, refund_handshake
from tenants.rate_limits.admission import Admission

pytestmark = pytest.mark.unit
LANES = ("KNOWN", "STRANGERS", "STREAMS")
Send = Callable[[dict[str, Any]], Awaitable[None]]


@pytest.fixture(autouse=True)
def _all_places_are_free_again() -> Iterator[None]:
    yield
    for name in LANES:
        lane = getattr(page_request, name)
        assert (lane.running, lane.waiting) == (0, 0), name


class Limiter:
    """A rate limiter with `left` requests for an address."""

    def __init__(self, left: int) -> None:
        self.left = left

    async def undo(self, _ask: Any, _counted_at: int) -> None:
        self.left += 1

    async def admit(self, ask: Any) -> tuple[Admission, int]:
        assert ask.address == "pages:203.0.113.7"
        self.left -= 1
        return Admission("ip" if self.left < 0 else "", frees_in_ms=2_500), 1


def limited_by(limiter: Limiter) -> SimpleNamespace:
    return SimpleNamespace(limits=SimpleNamespace(rate=limiter))


class Asking:
    """One request: what it has been sent, and whether its client is still there."""

    def __init__(self, path: str = "/welcome/abc/", *, limiter: Any = None, **headers: str) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("203.0.113.7", 1),
        }
        if limiter:
            self.scope["state"] = {"context": limited_by(limiter)}
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self._received = False

    async def receive(self) -> dict[str, Any]:
        if not self._received:
            self._received = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


class Page:
    """Runs until it may end; counts how many do."""

    def __init__(self, length: bytes = b"2") -> None:
        self.may_end, self.running, self.most = asyncio.Event(), 0, 0
        self._headers = [(b"content-length", length)] if length else []

    async def __call__(self, _scope: Any, receive: Any, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.may_end.wait()
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            await send({"type": "http.response.body", "body": b"ok"})
        finally:
            self.running -= 1


async def run(page: Any, *asking: Asking) -> list["asyncio.Task[None]"]:
    tasks = [asyncio.create_task(bounded(page, a.scope, a.receive, a.send)) for a in asking]
    for _ in range(10):
        await asyncio.sleep(0)
    return tasks


async def test_a_flood_of_strangers_is_made_few_at_a_time_and_the_rest_is_refused() -> None:
    page, flood = Page(), [Asking() for _ in range(250)]
    tasks = await run(page, *flood)
    page.may_end.set()
    await asyncio.gather(*tasks)
    assert page.most == 3
    statuses = [each.status for each in flood]
    assert (statuses.count(200), statuses.count(503)) == (67, 183)
    refused = next(each for each in flood if each.status == 503)
    assert (b"retry-after", b"5") in refused.sent[0]["headers"]


async def test_a_flood_of_pages_leaves_the_management_api_to_others() -> None:
    page = Page()
    tasks = await run(page, *(Asking() for _ in range(50)))
    api = Asking("/api/v1/me/", authorization="Bearer new")
    tasks += await run(page, api)
    assert page.running == 4
    page.may_end.set()
    await asyncio.gather(*tasks)
    assert api.status == 200


class Person:
    is_authenticated, pk = True, 7


async def known(cookie: str, user: Any = Person) -> Asking:
    """Returns a caller whose session has been answered for here."""
    asking = Asking("/console/", cookie=f"forebay_session={cookie}")
    request = ASGIRequest(asking.scope, BytesIO())
    request.user = user
    await sync_to_async(page_request.callers.note)(request)
    return asking


async def test_strangers_keep_nobody_out_who_is_signed_in() -> None:
    page = Page()
    tasks = await run(page, *(Asking() for _ in range(50)))
    person = await known("abc")
    tasks += await run(page, person)
    assert page.running == 4
    page.may_end.set()
    await asyncio.gather(*tasks)
    assert person.status == 200


async def test_a_session_that_was_only_claimed_or_has_ended_is_a_strangers() -> None:
    ended = await known("gone", user=type("Nobody", (), {"is_authenticated": False}))
    for asking in (Asking("/console/", cookie="forebay_session=claimed"), ended):
        asking.scope["state"] = {"context": limited_by(Limiter(0))}
        await bounded(Page(), asking.scope, asking.receive, asking.send)
        assert asking.status == 429
        assert (b"retry-after", b"3") in asking.sent[0]["headers"]


async def test_an_address_is_refused_after_so_many_requests_of_strangers() -> None:
    limiter, page = Limiter(2), Page()
    page.may_end.set()
    asked = [Asking(limiter=limiter) for _ in range(3)]
    for asking in asked:
        await bounded(page, asking.scope, asking.receive, asking.send)
    assert [asking.status for asking in asked] == [200, 200, 429]
    person = await known("counts for no address")
    person.scope["state"] = asked[0].scope["state"]
    await bounded(page, person.scope, person.receive, person.send)
    assert person.status == 200


async def test_people_whose_session_is_new_to_this_process_do_not_count() -> None:
    """After a restart that is everybody, and an office has one address."""
    limiter = Limiter(1)
    for number in range(3):
        person = Asking("/console/", limiter=limiter, cookie=f"forebay_session=office-{number}")

        async def page(scope: Any, receive: Any, send: Send) -> None:
            await receive()
            request = ASGIRequest(scope, BytesIO())
            request.user = Person  # type: ignore[assignment]  # it stands for one
            page_request.callers.note(request)
            await send({"type": "http.response.start", "status": 200, "headers": []})

        await bounded(page, person.scope, person.receive, person.send)
        assert person.status == 200
    assert limiter.left == 1


async def test_websockets_of_strangers_count_too_and_those_of_people_do_not() -> None:
    limiter, opened = Limiter(2), []

    async def chat(scope: Any, _receive: Any, _send: Any) -> None:
        opened.append(scope["user"])

    async def open_one(user: Any, cookie: str) -> list[dict[str, Any]]:
        asking = Asking("/ws/chat/", limiter=limiter, cookie=f"forebay_session={cookie}")
        asking.scope |= {"type": "websocket", "user": user}
        await count_handshake(refund_handshake(chat))(asking.scope, asking.receive, asking.send)
        return asking.sent

    nobody = type("Nobody", (), {"is_authenticated": False})
    assert await open_one(Person, "signed in") == []
    assert limiter.left == 2
    for number in range(2):
        assert await open_one(nobody, f"claimed-{number}") == []
    (refused,) = await open_one(nobody, "claimed-3")
    assert refused["type"] == "websocket.close"
    assert await open_one(Person, "signed in") == []
    assert opened == [Person, nobody, nobody, Person]


async def test_who_goes_while_they_wait_has_no_page_made() -> None:
    page = Page()
    tasks = await run(page, *(Asking() for _ in range(3)))
    gone = Asking()
    tasks += await run(page, gone)
    gone.gone.set()
    await asyncio.wait_for(tasks[-1], 5)
    assert gone.sent == []
    page.may_end.set()
    await asyncio.gather(*tasks)
    assert page.most == 3


async def test_a_client_that_reads_slowly_holds_no_place() -> None:
    page, slow, reading = Page(), Asking(), asyncio.Event()
    page.may_end.set()

    async def send(message: dict[str, Any]) -> None:
        await reading.wait()

    task = asyncio.create_task(bounded(page, slow.scope, slow.receive, send))
    for _ in range(20):
        await asyncio.sleep(0)
    assert page_request.STRANGERS.running == 0
    assert not task.done()
    reading.set()
    await task


async def test_exports_that_are_read_slowly_take_no_place_of_pages() -> None:
    """They have a few of their own; one more is told to come again."""
    reading = asyncio.Event()

    async def export(_scope: Any, receive: Any, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await reading.wait()
        await send({"type": "http.response.body", "body": b""})

    person = await known("downloads")
    tasks = await run(export, person)
    again = [await known("downloads") for _ in range(2)]
    tasks += await run(export, *again)
    assert (page_request.KNOWN.running, page_request.STREAMS.running) == (0, 2)
    assert [a.status for a in again] == [200, 503]
    reading.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_page_that_fails_gives_its_place_back() -> None:
    async def fails(_scope: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError

    asking = Asking()
    with pytest.raises(RuntimeError):
        await bounded(fails, asking.scope, asking.receive, asking.send)
