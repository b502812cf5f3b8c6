"""Identifies the caller by the key, in the headers of OpenAI's, Anthropic's or Azure's clients."""

from inference.api.http import cors
from inference.api.http.request import Request
from inference.errors import BadRequest
from tenants.caller import Caller
from tenants.key_scopes import Scope


async def caller_of(request: Request, scope: str = Scope.INFERENCE) -> Caller:
    if b"sk-fb-" in request.query or b"api_key=" in request.query:
        raise BadRequest(
            "a key in the URL ends up in logs: send it as `Authorization: Bearer …`, and revoke "
            "this one",
            code="api_key_in_url",
        )
    scheme, _, key = request.header(b"authorization").partition(" ")
    of_others = request.header(b"x-api-key") or request.header(b"api-key")  # Anthropic's, Azure's
    bearer = key.strip() if scheme.lower() == "bearer" else ""
    caller = await request.call.authenticate(bearer or of_others, scope)
    cors.check(request, caller)
    return caller


async def address_counted_caller(request: Request, scope: str = Scope.INFERENCE) -> Caller:
    """Returns the caller of a request without an admission."""
    caller = await caller_of(request, scope)
    await request.call.add_limit_headers(caller)
    return caller


async def counted_caller(request: Request, scope: str) -> Caller:
    """Returns the caller that begins or stores something, counted before the body is read."""
    caller = await caller_of(request, scope)
    await request.call.count_request(caller)
    return caller
