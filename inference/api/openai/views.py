"""The endpoints under /v1. Each checks its shape, submits, and delivers."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any
from uuid import UUID

import orjson
from channels.db import database_sync_to_async

from audit.proof import receipts
from inference.api.openai import balance as balances
from inference.api.openai import cors, installed, limits, quotas
from inference.api.openai.delivery import EVENT_STREAM, event_bytes, send_events, send_json, whole
from inference.api.openai.http import Request
from inference.engines.base import Engine
from inference.errors import BadRequest, Forbidden, NotFound, Unauthorized, Unavailable
from inference.intake import address_limit, allowed, charging
from inference.intake.at_once import EVERYBODY
from inference.intake.gateway import gateway
from inference.intake.revocation import RESTRICTED, RESTRICTED_TEXT, refusal
from inference.models import Completion
from inference.order import Order
from inference.record import ledger
from inference.stream.cursor import follow
from inference.stream.frames import Kind
from inference.stream.sink import Sink
from inference.validation import requests
from inference.validation.schemas import Body
from tenants.accounts import locked_texts
from tenants.authentication.authenticator import (
    AuthenticationUnavailable,
    Restricted,
    TenantClosed,
    UnknownCaller,
)
from tenants.caller import Caller
from tenants.rate_limits.admission import Admission
from tenants.refusals.recorder import Refused
from tenants.scope import tenant_scope

View = Callable[..., Awaitable[None]]


async def chat_completions(request: Request) -> None:
    await _complete(request, requests.check_chat, chat=True)


async def completions(request: Request) -> None:
    await _complete(request, requests.check_completion, chat=False)


async def _complete(request: Request, check: Callable[[Body, Engine], None], *, chat: bool) -> None:
    caller, raw = await _caller(request), await request.body()
    body = requests.parsed(raw)
    engine = allowed.engine_for(caller, requests.model_of(body))
    requests.check_length(len(raw), body, engine)
    check(body, engine)
    order, sink = await _submit(request, caller, engine, body, len(raw), chat=chat)
    await (send_events if order.stream else send_json)(gateway(), request, order, sink)


async def inference(request: Request) -> None:
    """`{prompt, max_tokens, temperature 0.1-1.0, stop_words[]}`: the plain call."""
    caller, raw = await _caller(request), await request.body()
    asked = requests.parsed(raw)
    names = [engine.config.name for engine in allowed.engines_for(caller)]
    wanted = asked.get("model") or (names[0] if names else "")
    engine = allowed.engine_for(caller, requests.model_of({"model": wanted}))
    requests.check_length(len(raw), asked, engine)
    body = requests.plain_call(asked, engine)
    order, sink = await _submit(request, caller, engine, body, len(raw), chat=False)
    frame = await whole(gateway(), request, order, sink)
    if frame.kind == Kind.ERROR:
        headers = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
        headers.append((b"content-type", b"application/json"))
        return await request.answer(frame.body, frame.status, headers)
    found = orjson.loads(frame.body)
    request.extra += quotas.headers_after(sink.verdict, order, found.get("usage"))
    choice = found["choices"][0]
    answer = {
        "request_id": str(order.id),
        "text": choice["text"],
        "finish_reason": choice["finish_reason"],
        "usage": found.get("usage"),
    }
    return await request.answer(orjson.dumps(answer))


async def models(request: Request) -> None:
    caller = await _reader(request)
    installed_at = await installed.at()
    found = [_described(engine, installed_at) for engine in allowed.engines_for(caller)]
    await request.answer(orjson.dumps({"object": "list", "data": found}))


async def model(request: Request, name: str) -> None:
    caller = await _reader(request)
    engine = allowed.engine_for(caller, name)
    await request.answer(orjson.dumps(_described(engine, await installed.at())))


async def balance(request: Request) -> None:
    """What remains of the caller's cost quotas, in DeepSeek's shape."""
    found = await balances.balance(await _reader(request))
    await request.answer(orjson.dumps(found))


async def events(request: Request, completion_id: str) -> None:
    """A stream from the event after `Last-Event-ID` on (WHATWG server-sent events)."""
    caller = await _reader(request)
    after = _last_event(request)
    found = await _own(request, caller, completion_id)
    names = _enter(request, caller)
    try:
        await _follow(request, caller, found, after)
    finally:
        gateway().readers.leave(*names)


READERS_PER_KEY, READERS_PER_TENANT = 32, 256


def _enter(request: Request, caller: Caller) -> tuple[Hashable, Hashable]:
    """Whom this reader counts for. Raises NotAdmitted, Unavailable."""
    limits = (caller.credential, READERS_PER_KEY), (caller.tenant_id, READERS_PER_TENANT)
    full = gateway().readers.enter(*limits)
    if full == EVERYBODY:
        raise Unavailable("too many streams are read here; try again", retry_after=2)
    if full is not None:
        tier, most = (
            ("key_readers", READERS_PER_KEY)
            if full == caller.credential
            else ("readers", READERS_PER_TENANT)
        )
        admission = Admission(tier, most, most, 1000, scope=tier)
        route = "/v1/completions/{id}/events"
        raise gateway().refused(caller, admission, route, request.client_ip)
    return caller.credential, caller.tenant_id


async def _follow(request: Request, caller: Caller, found: Completion, after: int) -> None:
    await request.start(200, EVENT_STREAM)
    reading = asyncio.ensure_future(_read_on(request, found, after))
    lost = list[str]()

    def end(why: str) -> None:
        lost.append(why)
        reading.cancel()

    gateway().revocation.attend(request, caller.credential, end)
    try:
        await reading
    except asyncio.CancelledError:
        if not lost:
            raise
        await request.write(b"data: %b\n\ndata: [DONE]\n\n" % refusal(lost[0])[1], more=False)
    finally:
        gateway().revocation.dismiss(request)


async def _read_on(request: Request, found: Completion, after: int) -> None:
    watch = asyncio.create_task(request.gone())
    try:
        async for frame in follow(gateway().redis, found.id.bytes, after):
            if watch.done():
                return
            if frame:
                await request.write(event_bytes(frame))
            elif not await _still_open(found):
                await request.write(_EXPIRED)
                break
            else:
                await request.write(b": keep-alive\n\n")
        await request.write(b"", more=False)
    finally:
        watch.cancel()


_EXPIRED = (
    b'data: {"error":{"message":"these events are no longer kept; send the request again",'
    b'"type":"invalid_request_error","param":null,"code":"stream_expired"}}\n\ndata: [DONE]\n\n'
)


def _described(engine: Engine, installed_at: int) -> dict[str, Any]:
    config = engine.config
    return {
        "id": config.name,
        "object": "model",
        "created": config.created or installed_at,
        "owned_by": "forebay",
        "context_length": config.context_length,
    }


async def _caller(request: Request) -> Caller:
    if b"sk-fb-" in request.query or b"api_key=" in request.query:
        raise BadRequest(
            "a key in the URL ends up in logs: send it as `Authorization: Bearer …`, and revoke "
            "this one",
            code="api_key_in_url",
        )
    scheme, _, key = request.header(b"authorization").partition(" ")
    key = key.strip() if scheme.lower() == "bearer" else _key_of_others(request)
    request.address_counted_at = await address_limit.charge(
        gateway(), key, request.client_ip, request.route
    )
    if not key:
        raise Unauthorized("no API key: send `Authorization: Bearer sk-fb-…`")
    try:
        request.caller = caller = await gateway().authenticator.by_key(key)
    except TenantClosed as closed:
        request.caller = gateway().authenticator.last_known(key)
        raise Forbidden(_CLOSED[closed.state], code=f"tenant_{closed.state}") from None
    except Restricted:
        request.caller = gateway().authenticator.last_known(key)
        raise Forbidden(RESTRICTED_TEXT, code=RESTRICTED) from None
    except UnknownCaller:
        raise Unauthorized("this API key is wrong, revoked or expired") from None
    except AuthenticationUnavailable:
        raise Unavailable("the database does not answer; try again", retry_after=2) from None
    cors.check(request, caller)
    allowed.check_address(caller, request.client_ip)
    allowed.check_scope(caller)
    return caller


def _key_of_others(request: Request) -> str:
    """Where Anthropic's and Azure's clients have it."""
    return request.header(b"x-api-key") or request.header(b"api-key")


async def _reader(request: Request) -> Caller:
    """Of what no admission follows."""
    caller = await _caller(request)
    counted_at, request.at_admission = request.address_counted_at, True
    admission = await address_limit.look(
        gateway(), caller, request.client_ip, request.route, counted_at
    )
    request.extra += limits.headers(admission)
    return caller


_CLOSED = {
    "suspended": "this tenant is suspended; ask those who run this platform",
    "closing": "this tenant has been closed",
}


async def _submit(
    request: Request,
    caller: Caller,
    engine: Engine,
    body: dict[str, Any],
    length: int,
    *,
    chat: bool,
) -> tuple[Order, Sink]:
    options = body.get("stream_options") or {}
    estimate = requests.estimate(length, body)
    charging.bound_answer(body, caller, engine)
    prepared = engine.prepare(body, chat=chat)
    request.at_admission = True
    order, sink, admission = await gateway().submit(
        caller,
        engine,
        estimate=estimate,
        max_tokens=prepared.get("max_tokens"),
        stream=bool(body.get("stream")),
        include_usage=bool(options.get("include_usage")),
        body=orjson.dumps(prepared),
        route=request.route,
        chat=chat,
        client_ip=request.client_ip,
        address_counted_at=request.address_counted_at,
    )
    request.request_id = str(order.id)
    request.extra.append((receipts.HEADER, bytes(ledger.receipt(order, sink.payload_sha256))))
    request.extra += limits.headers(admission)
    if order.stream:  # a whole answer's headers tell what remains once it is settled
        request.extra += quotas.headers(sink.verdict)
    return order, sink


def _last_event(request: Request) -> int:
    text = request.header(b"last-event-id") or "0"
    if not text.isdecimal() or len(text) > 12:
        raise BadRequest("Last-Event-ID must be the id of an event", param="Last-Event-ID")
    return int(text)


async def _own(request: Request, caller: Caller, completion_id: str) -> Completion:
    """Only whoever asked for a stream reads it; a chat's is read in the chat alone.

    Raises NotFound, and puts on record who tried another's.
    """
    try:
        uuid = UUID(completion_id.removeprefix("chatcmpl-").removeprefix("cmpl-"))
    except ValueError:
        raise NotFound("there is no such stream") from None
    found = await _stream(caller, uuid)
    if found is None:
        net = ledger.network(request.client_ip)
        who = Refused(caller.tenant_id, caller.actor, EVENTS_ROUTE, client_net=net)
        gateway().refusals.denied(who, 404, "stream_not_found")
        raise NotFound("there is no such stream")
    return found


EVENTS_ROUTE = "/v1/completions/{id}/events"


@database_sync_to_async
def _stream(caller: Caller, completion_id: UUID) -> Completion | None:
    if caller.api_key_id is None:
        return None
    with tenant_scope(caller.tenant_id):
        streams = Completion.objects.filter(tenant_id=caller.tenant_id, stream=True)
        if locked_texts.of_key(caller.api_key_id):  # rotated by whoever has their account?
            streams = streams.filter(api_key=caller.api_key_id)
        return streams.of_key(caller.api_key_id).filter(id=completion_id).first()


@database_sync_to_async
def _still_open(completion: Completion) -> bool:
    with tenant_scope(completion.tenant_id):
        return Completion.objects.open().filter(pk=completion.pk).exists()
