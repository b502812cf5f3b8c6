"""The endpoints under /v1. Each checks its shape, submits, and delivers."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any
from uuid import UUID

import orjson
from channels.db import database_sync_to_async

from audit.proof import receipts
from inference.api import limits, quotas
from inference.api.openai import balance as balances
from inference.api.openai import cors, installed
from inference.api.openai.delivery import EVENT_STREAM, event_bytes, send_events, send_json, whole
from inference.api.openai.http import Request
from inference.engines.base import Engine
from inference.errors import BadRequest, NotFound, Unavailable
from inference.intake import address_limit, allowed
from inference.intake.answer_stream import AnswerStream
from inference.intake.at_once import EVERYBODY
from inference.intake.authentication import identify
from inference.intake.refusals import denied, not_admitted
from inference.intake.revocation import refusal
from inference.intake.submission import read
from inference.intake.submit import submit
from inference.models import Completion
from inference.stream.cursor import follow
from inference.stream.frames import Kind
from inference.validation import requests
from inference.validation.schemas import Body
from tenants.accounts import locked_texts
from tenants.caller import Caller
from tenants.rate_limits.admission import Admission
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
    answer = await _submit(request, caller, engine, body, len(raw), chat=chat)
    await (send_events if answer.order.stream else send_json)(request, answer)


async def inference(request: Request) -> None:
    """`{prompt, max_tokens, temperature 0.1-1.0, stop_words[]}`: the plain call."""
    caller, raw = await _caller(request), await request.body()
    asked = requests.parsed(raw)
    names = [engine.config.name for engine in allowed.engines_for(caller)]
    wanted = asked.get("model") or (names[0] if names else "")
    engine = allowed.engine_for(caller, requests.model_of({"model": wanted}))
    requests.check_length(len(raw), asked, engine)
    body = requests.plain_call(asked, engine)
    answer = await _submit(request, caller, engine, body, len(raw), chat=False)
    frame = await whole(request, answer)
    if frame.kind == Kind.ERROR:
        headers = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
        headers.append((b"content-type", b"application/json"))
        return await request.answer(frame.body, frame.status, headers)
    found = orjson.loads(frame.body)
    request.extra += quotas.headers_after(answer.verdict, answer.order, found.get("usage"))
    choice = found["choices"][0]
    plain = {
        "request_id": str(answer.order.id),
        "text": choice["text"],
        "finish_reason": choice["finish_reason"],
        "usage": found.get("usage"),
    }
    return await request.answer(orjson.dumps(plain))


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
        request.context.readers.leave(*names)


READERS_PER_KEY, READERS_PER_TENANT = 32, 256


def _enter(request: Request, caller: Caller) -> tuple[Hashable, Hashable]:
    """Whom this reader counts for. Raises NotAdmitted, Unavailable."""
    limits = (caller.credential, READERS_PER_KEY), (caller.tenant_id, READERS_PER_TENANT)
    full = request.context.readers.enter(*limits)
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
        raise not_admitted(request.context, admission, caller, route, request.client_ip)
    return caller.credential, caller.tenant_id


async def _follow(request: Request, caller: Caller, found: Completion, after: int) -> None:
    await request.start(200, EVENT_STREAM)
    reading = asyncio.ensure_future(_read_on(request, found, after))
    lost = list[str]()

    def end(why: str) -> None:
        lost.append(why)
        reading.cancel()

    request.context.revocation.attend(request, caller.credential, end)
    try:
        await reading
    except asyncio.CancelledError:
        if not lost:
            raise
        await request.write(b"data: %b\n\ndata: [DONE]\n\n" % refusal(lost[0])[1], more=False)
    finally:
        request.context.revocation.dismiss(request)


async def _read_on(request: Request, found: Completion, after: int) -> None:
    watch = asyncio.create_task(request.gone())
    try:
        async for frame in follow(request.context.redis, found.id.bytes, after):
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
        request.context, key, request.client_ip, request.route
    )
    request.caller = caller = await identify(request.context, key)
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
        request.context, caller, request.client_ip, request.route, counted_at
    )
    request.extra += limits.headers(admission)
    return caller


async def _submit(
    request: Request,
    caller: Caller,
    engine: Engine,
    body: dict[str, Any],
    length: int,
    *,
    chat: bool,
) -> AnswerStream:
    submission = read(
        caller,
        engine,
        body,
        length,
        chat=chat,
        route=request.route,
        client_ip=request.client_ip,
        address_counted_at=request.address_counted_at,
    )
    request.at_admission = True
    answer = await submit(request.context, submission)
    request.request_id = str(answer.order.id)
    request.extra.append((receipts.HEADER, answer.receipt))
    request.extra += limits.headers(answer.admission)
    if submission.stream:  # a whole answer's headers tell what remains once it is settled
        request.extra += quotas.headers(answer.verdict)
    return answer


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
        denied(
            request.context,
            caller,
            EVENTS_ROUTE,
            request.client_ip,
            status=404,
            code="stream_not_found",
        )
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
