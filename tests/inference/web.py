"""The inference API over the open context, as a server with a lifespan would call it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from config.http.front_ends import router_of
from inference.api.openai import routes
from inference.intake.context import Context

_open: list[Context] = []


@asynccontextmanager
async def serving(context: Context | None = None) -> AsyncIterator[Context]:
    opened = context or await Context.open()
    _open.append(opened)
    try:
        yield opened
    finally:
        await _open.pop().close()


def current() -> Context:
    return _open[-1]


async def served(scope: Any, receive: Any, send: Any) -> None:
    router = router_of(scope) or routes.router
    await router({**scope, "state": {"context": current()}}, receive, send)
