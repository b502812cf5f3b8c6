"""Sessions of a widget: a page of an allowed origin gets a token for its visitor."""

import time

from inference.api.dialogues import callers, fields, visitors
from inference.api.dialogues.callers import caller_for
from inference.api.http.request import Request
from inference.dialogues import versions
from inference.dialogues.scoped import read_in_tenant
from inference.errors import NotFound
from inference.validation import requests
from infrastructure.postgres.request_threads import in_request_thread


async def create(request: Request) -> None:
    """`{key, token}`: a token, or the visitor's next one. The page's origin must be allowed."""
    await callers.count_visitor(request.call)
    body = requests.parsed(await request.body())
    fields.check(body, fields.SESSION)
    token = body.get("token") or ""
    admitted = in_request_thread(visitors.admitted)
    visitor = await admitted(body["key"], request.origin, token)
    caller = await caller_for(request.call, visitor)
    await request.call.count_request(caller)
    languages = await read_in_tenant(caller.tenant_id, _languages, visitor)
    await request.answer_json(
        {
            "object": "widget.session",
            "token": visitor.token(),
            "expires_at": int(time.time()) + visitors.LIVES_S,
            "expires_in": visitors.LIVES_S,
            "languages": languages,
        }
    )


def _languages(visitor: visitors.Visitor) -> list[str]:
    key = visitor.key
    version = versions.serving(key.tenant_id, key.assistant_id, visitor.id)
    if version is None:
        raise NotFound("the assistant of this widget does not serve", code="assistant_not_found")
    return list(version.spec.languages)
