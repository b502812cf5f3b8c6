"""The endpoints under /v1. Each checks its shape, submits, and delivers."""

import orjson

from inference.api import idempotency, served_models, stream_resumption
from inference.api.http.callers import caller_of, reader
from inference.api.http.delivery import watched, whole
from inference.api.http.request import Request
from inference.api.openai import balance as balances
from inference.api.openai.delivery import (
    EVENT_STREAM,
    KEEP_ALIVE,
    event_bytes,
    send_events,
    send_json,
)
from inference.errors import BadRequest
from inference.intake.answer_stream import AnswerStream, ReaderGone
from inference.intake.submission import Options
from inference.stream.frames import Frame, Kind
from inference.validation import requests
from inference.validation.forms import Form


async def chat_completions(request: Request, model: str = "") -> None:
    await _complete(request, Form.CHAT, model)


async def completions(request: Request, model: str = "") -> None:
    await _complete(request, Form.TEXT, model)


async def _complete(request: Request, form: Form, model: str) -> None:
    """Answer a completion. `model` is set if the path names it, as at Azure, and then prevails."""
    answer = await _submit(request, form, model)
    await (send_events if answer.order.stream else send_json)(request, answer)


async def inference(request: Request) -> None:
    """`{prompt, max_tokens, temperature 0.1-1.0, stop_words[]}`: the plain call."""
    answer = await _submit(request, Form.PLAIN)
    frame = await whole(request, answer)
    if frame.kind == Kind.ERROR:
        headers = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
        headers.append((b"content-type", b"application/json"))
        return await request.answer(frame.body, frame.status, headers)
    completion = orjson.loads(frame.body)
    choice = completion["choices"][0]
    plain = {
        "request_id": str(answer.order.id),
        "text": choice["text"],
        "finish_reason": choice["finish_reason"],
        "usage": completion.get("usage"),
    }
    return await request.answer(orjson.dumps(plain))


async def models(request: Request) -> None:
    listed = await served_models.listed(await reader(request))
    data = [{**model, "object": "model"} for model in listed]
    await request.answer(orjson.dumps({"object": "list", "data": data}))


async def model(request: Request, name: str) -> None:
    model_fields = await served_models.one(await reader(request), name)
    await request.answer(orjson.dumps({**model_fields, "object": "model"}))


async def balance(request: Request) -> None:
    """Answer the rest of the caller's cost quotas, in DeepSeek's shape."""
    balance_fields = await balances.balance(await reader(request))
    await request.answer(orjson.dumps(balance_fields))


async def events(request: Request, completion_id: str) -> None:
    """Stream from the event after `Last-Event-ID` (WHATWG server-sent events)."""
    call, caller, after = request.call, await reader(request), _last_event(request)
    completion = await stream_resumption.own(call, caller, completion_id)
    with stream_resumption.counted(call, caller), watched(request) as closed:

        async def write(frame: Frame | None) -> None:
            if closed.done():
                raise ReaderGone
            await request.write(event_bytes(frame) if frame else KEEP_ALIVE)

        await request.start(200, EVENT_STREAM)
        await stream_resumption.read_on(call, caller, completion, after, write)
        await request.write(b"", more=False)


async def _submit(request: Request, form: Form, model: str = "") -> AnswerStream:
    caller, raw, call = await caller_of(request), await request.body(), request.call
    body = requests.parsed(raw)
    if model:
        body["model"] = model
    options = Options.of(request.header_or_none)
    submission = await call.read(caller, body, len(raw), form, options)
    try:
        return await idempotency.submit(call, submission)
    finally:
        call.release_body()


def _last_event(request: Request) -> int:
    text = request.header(b"last-event-id") or "0"
    if not text.isdecimal() or len(text) > 12:
        raise BadRequest("Last-Event-ID must be the id of an event", param="Last-Event-ID")
    return int(text)
