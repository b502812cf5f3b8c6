"""The endpoints under /v1. Each checks its shape, submits, and delivers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import orjson

from inference.engines import served
from inference.engines.base import Engine
from inference.gateway import gateway
from inference.models import Completion
from inference.openai import shapes
from inference.openai.delivery import EVENT_STREAM, event_bytes, send_events, send_json, whole
from inference.openai.errors import BadRequest, NotFound, Unauthorized, Unavailable
from inference.openai.http import Request
from inference.order import Order
from inference.stream.cursor import follow
from inference.stream.frames import Kind
from inference.stream.sink import Sink
from tenants.caller import Caller
from tenants.door import DoorClosed, UnknownCaller

View = Callable[..., Awaitable[None]]
_SERVED_SINCE = int(time.time())  # by this process; an engine does not tell a model's age


async def chat_completions(request: Request) -> None:
    await _complete(request, shapes.check_chat, chat=True)


async def completions(request: Request) -> None:
    await _complete(request, shapes.check_text, chat=False)


async def _complete(
    request: Request, check: Callable[[shapes.Body, Engine], None], *, chat: bool
) -> None:
    caller, raw = await _caller(request), await request.body()
    body = shapes.parsed(raw)
    engine = _engine(body)
    check(body, engine)
    shapes.check_length(len(raw), body, engine)
    order, sink = await _submit(request, caller, engine, body, len(raw), chat=chat)
    await (send_events if order.stream else send_json)(gateway(), request, order, sink)


async def inference(request: Request) -> None:
    """`{prompt, max_tokens, temperature 0.1-1.0, stop_words[]}`: the plain call."""
    caller, raw = await _caller(request), await request.body()
    asked = shapes.parsed(raw)
    engine = _engine({"model": asked.get("model") or next(iter(served()))})
    body = shapes.plain_call(asked, engine)
    shapes.check_length(len(raw), body, engine)
    order, sink = await _submit(request, caller, engine, body, len(raw), chat=False)
    frame = await whole(gateway(), request, order, sink)
    if frame.kind == Kind.ERROR:
        headers = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
        headers.append((b"content-type", b"application/json"))
        return await request.answer(frame.body, frame.status, headers)
    found = orjson.loads(frame.body)
    choice = found["choices"][0]
    answer = {
        "request_id": str(order.id),
        "text": choice["text"],
        "finish_reason": choice["finish_reason"],
        "usage": found.get("usage"),
    }
    return await request.answer(orjson.dumps(answer))


async def models(request: Request) -> None:
    await _caller(request)
    found = [_described(engine) for engine in served().values()]
    await request.answer(orjson.dumps({"object": "list", "data": found}))


async def model(request: Request, name: str) -> None:
    await _caller(request)
    await request.answer(orjson.dumps(_described(_engine({"model": name}))))


async def events(request: Request, completion_id: str) -> None:
    """A stream from the event after `Last-Event-ID` on (WHATWG server-sent events)."""
    caller = await _caller(request)
    after = _last_event(request)
    found = await _own(caller, completion_id)
    await request.start(200, EVENT_STREAM)
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


def _described(engine: Engine) -> dict[str, Any]:
    config = engine.config
    return {
        "id": config.name,
        "object": "model",
        "created": _SERVED_SINCE,
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
    key = key.strip() if scheme.lower() == "bearer" else request.header(b"x-api-key")
    if not key:
        raise Unauthorized("no API key: send `Authorization: Bearer sk-fb-…`")
    try:
        return await gateway().door.by_key(key)
    except UnknownCaller:
        raise Unauthorized("this API key is wrong, revoked or expired") from None
    except DoorClosed:
        raise Unavailable("the database does not answer; try again", retry_after=2) from None


def _engine(body: dict[str, Any]) -> Engine:
    name = shapes.model_of(body)
    engine = served().get(name)
    if engine is None:
        raise NotFound(
            f"the model `{name}` does not exist; GET /v1/models lists those that do",
            code="model_not_found",
            param="model",
        )
    return engine


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
    order, sink, admission = await gateway().submit(
        caller,
        engine,
        estimate=shapes.estimate(length, body),
        stream=bool(body.get("stream")),
        include_usage=bool(options.get("include_usage")),
        body=orjson.dumps(engine.prepare(body, chat=chat)),
        route=request.path.rstrip("/"),
        chat=chat,
        client_ip=request.client_ip,
    )
    request.extra.append((b"x-request-id", str(order.id).encode()))
    if admission.limit:
        request.extra += [
            (b"x-ratelimit-limit-requests", b"%d" % admission.limit),
            (b"x-ratelimit-remaining-requests", b"%d" % admission.remaining),
            (b"x-ratelimit-reset-requests", b"%dms" % admission.frees_in_ms),
        ]
    return order, sink


def _last_event(request: Request) -> int:
    text = request.header(b"last-event-id") or "0"
    if not text.isdecimal() or len(text) > 12:
        raise BadRequest("Last-Event-ID must be the id of an event", param="Last-Event-ID")
    return int(text)


async def _own(caller: Caller, completion_id: str) -> Completion:
    """Raises NotFound, also for a stranger's."""
    try:
        uuid = UUID(completion_id.removeprefix("chatcmpl-").removeprefix("cmpl-"))
        return await Completion.objects.aget(id=uuid, tenant_id=caller.tenant_id, stream=True)
    except (ValueError, Completion.DoesNotExist):
        raise NotFound("there is no such stream") from None


async def _still_open(completion: Completion) -> bool:
    return await Completion.objects.open().filter(id=completion.id).aexists()
