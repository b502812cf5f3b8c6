"""Answers that a browser keeps as a file: whole, or streamed while they are read."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import cast

from asgiref.sync import sync_to_async
from django.http import HttpResponse, StreamingHttpResponse

from console.authorization import ConsoleRequest
from tenants.scope import system_scope, tenant_scope

Scope = Callable[[], AbstractContextManager[None]]


def file(content: str | bytes, name: str, kind: str) -> HttpResponse:
    return HttpResponse(content, kind, headers=_attachment(name))


def stream(
    pieces: Iterator[bytes], scope: Scope, name: str, kind: str, size: int | None = None
) -> HttpResponse:
    """Returns a file whose pieces are read later, each in its own scope."""
    headers = _attachment(name) | ({} if size is None else {"Content-Length": str(size)})
    answer = StreamingHttpResponse(read(pieces, scope), content_type=kind, headers=headers)
    return cast("HttpResponse", answer)  # pages say that they return one


async def read(pieces: Iterator[bytes], scope: Scope) -> AsyncIterator[bytes]:
    """Yield the pieces asynchronously: Django would collect a plain iterator before sending."""

    def following() -> bytes | None:
        with scope():
            return next(pieces, None)

    while (piece := await sync_to_async(following)()) is not None:
        yield piece


def scope_of(request: ConsoleRequest) -> Scope:
    """Returns the scope of the request's tenant and person, or of all tenants, for later."""
    if tenant := request.tenant:
        return partial(tenant_scope, tenant.id, request.user.pk)
    return system_scope


def _attachment(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
