"""A request for a page: counted for its address, then run in its turn, or refused before Django.

A stranger's websocket counts for the address too. For each a session is looked up:
`count_handshake` wraps that look-up and `refund_handshake` follows it.
"""

import asyncio
import math
from typing import Any
from uuid import uuid4

from django.conf import settings
from starlette.responses import JSONResponse, PlainTextResponse, Response

from config.http.origins import refuse as refuse_socket
from config.pages.callers import Callers
from config.pages.turns import MOST, Busy, Lane, Turns
from console.api.problem import MEDIA_TYPE, TYPE
from tenants.rate_limits.admission import Ask
from tenants.rate_limits.client_address import client_ip, counted

STRANGERS = Lane(4, 3, waiting=128, waiting_of_one=64)
KNOWN = Lane(6, 4, waiting=256, waiting_of_one=64)
STREAMS = Lane(4, 2, waiting=0, waiting_of_one=0)  # exports: they last as long as a client reads
TOO_MANY = "Too many pages are being asked for. Please try again in a moment."
FOR_PROGRAMS = "/api/"
AGAIN_S = 5
_CODES = {413: "too_large", 415: "unsupported_media_type", 429: "throttled", 503: "unavailable"}
_VISIT = "forebay.visit"
callers = Callers()
_pages, _streams = Turns(MOST, (KNOWN, STRANGERS)), Turns(4, (STREAMS,))


class PageRefused(Exception):
    """A refusal of a page. `again_s`: seconds after which to try again, with 429 and 503."""

    def __init__(self, status: int, text: str, again_s: int = AGAIN_S) -> None:
        super().__init__(text)
        self.status, self.again_s = status, again_s


def is_for_programs(scope: Any) -> bool:
    return bool(scope["path"].startswith(FOR_PROGRAMS))


async def refuse(refused: PageRefused, scope: Any, receive: Any, send: Any) -> None:
    """Write the refusal as the whole answer."""
    status, text = refused.status, str(refused)
    headers = {"connection": "close"}
    if status in (429, 503):
        headers["retry-after"] = str(refused.again_s)
    answer: Response = PlainTextResponse(text, status, headers)
    if is_for_programs(scope):
        code = _CODES.get(status, "malformed")
        problem = {"type": TYPE + code, "title": text, "status": status, "detail": text}
        problem["instance"] = scope["path"].replace("\0", "")
        answer = JSONResponse(problem, status, headers, MEDIA_TYPE)
    await answer(scope, receive, send)


class Visit:
    def __init__(self, scope: Any) -> None:
        self.scope = scope
        self._name = callers.known(scope)
        self._turns, self._lane = _pages, KNOWN if self._name else STRANGERS
        self._has_turn = False
        self._counted: tuple[Ask, int] | None = None
        self._whole: list[Any] | None = []  # an answer in one piece; None: a stream

    async def count(self) -> None:
        """Count a stranger's request for their address. Raises PageRefused."""
        if self._name:
            return
        address = counted(client_ip(self.scope))
        # A flood of one part spares the other.
        self._name = f"{address}{FOR_PROGRAMS if is_for_programs(self.scope) else '/'}"
        if not (address and self._limiter and settings.PAGES_PER_MINUTE):
            return
        ask = Ask(str(uuid4()), f"pages:{address}", settings.PAGES_PER_MINUTE)
        admission, counted_at = await self._limiter.admit(ask)
        if admission.tier:
            wait_s = max(1, math.ceil(admission.frees_in_ms / 1000))
            raise PageRefused(429, "Too many requests came from your address.", wait_s)
        self._counted = ask, counted_at

    async def refund(self) -> None:
        """Uncount it if the stranger has turned out to be signed in.

        After a restart nobody is known, and a whole office comes from one address.
        """
        if self._counted and callers.known(self.scope):
            await self._limiter.undo(*self._counted)

    @property
    def _limiter(self) -> Any:
        """The rate limiter; None where no such process serves the page, as in a test."""
        context = self.scope.get("state", {}).get("context")
        return context and context.limits.rate

    async def run(self, pages: Any, receive: Any, replay: Any, send: Any) -> None:
        """Have the page made. `replay` reads the request again, `receive` what comes behind it.

        The turn is free again before a slow client has read the answer. Raises PageRefused.
        """
        self._has_turn = self._turns.try_now(self._lane, self._name) or await self._wait(receive)
        if not self._has_turn:
            return
        try:
            await pages(self.scope, replay, self._sender(send))
        finally:
            self._give_back()
        await self.refund()
        for message in self._whole or ():
            await send(message)

    async def _wait(self, receive: Any) -> bool:
        """Wait for a turn. Returns False if the client has gone meanwhile. Raises PageRefused."""
        waiting = asyncio.ensure_future(self._turns.wait(self._lane, self._name))
        disconnect = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((waiting, disconnect), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                return False
            waiting.result()
        except Busy:
            raise PageRefused(503, TOO_MANY) from None
        finally:
            disconnect.cancel()
            waiting.cancel()
        return True

    def _sender(self, send: Any) -> Any:
        async def sender(message: Any) -> None:
            if message["type"] == "http.response.start" and _is_stream(message):
                self._whole = None
                if not self._become_stream():
                    too_many = PageRefused(
                        503, "Too many exports are being read. Please try again."
                    )
                    await refuse(too_many, self.scope, None, send)
                    # As if the client had gone: Django closes what it was about to send.
                    raise asyncio.CancelledError
            if self._whole is None:
                await send(message)
            else:
                self._whole.append(message)

        return sender

    def _become_stream(self) -> bool:
        self._give_back()
        if not _streams.try_now(STREAMS, self._name):
            return False
        self._turns, self._lane, self._has_turn = _streams, STREAMS, True
        return True

    def _give_back(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turns.give_back(self._lane, self._name)


def _is_stream(start: Any) -> bool:
    """Returns whether an answer is a stream: Django gives the length of one that it has whole."""
    return all(name.lower() != b"content-length" for name, _ in start["headers"])


def count_handshake(application: Any) -> Any:
    """Returns a websocket application whose handshake counts for the stranger's address."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        visit = Visit(scope)
        try:
            await visit.count()
        except PageRefused:
            await refuse_socket(scope, receive, send)
        else:
            await application({**scope, _VISIT: visit}, receive, send)

    return run


def refund_handshake(application: Any) -> Any:
    """Returns a websocket application that uncounts it if somebody has signed in."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        callers.remember(scope, scope["user"])
        await scope[_VISIT].refund()
        await application(scope, receive, send)

    return run
