"""The charge for a stranger's websocket: it counts for the address, as a page does.

For each a session is looked up: `Charged` wraps that look-up and `Settled` follows it.
"""

from typing import Any

from config.http.origins import refuse
from config.pages.page_request import Visit, callers
from config.pages.refusal import Refused

_VISIT = "forebay.visit"


class Charged:
    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        visit = Visit(scope)
        try:
            await visit.charge()
        except Refused:
            await refuse(scope, receive, send)
        else:
            await self._application({**scope, _VISIT: visit}, receive, send)


class Settled:
    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        callers.remember(scope, scope["user"])
        await scope[_VISIT].settle()
        await self._application(scope, receive, send)
