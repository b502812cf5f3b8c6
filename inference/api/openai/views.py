"""The endpoints under /v1. Each checks its shape, submits, and delivers."""

import orjson

from inference.api import idempotency, served_models, stream_resumption
from inference.api.http import streaming
from inference.api.http.callers import address_counted_caller, caller_of
from inference.api.http.request import Request, whole
from inference.api.openai import delivery
from inference.api.openai.balance import balance_of
from inference.api.refusals import LONGEST_NAME
from inference.codec import events as codec
from inference.errors import NotFound
from inference.intake.answer_stream import AnswerStream
from inference.intake.limits import body_length
from inference.intake.submission import Options
from inference.stream.frames import Kind
from inference.validation import requests
from inference.validation.requests import Form
from tenants import secret_keys


async def chat_completions(request: Request, model: str = "") -> None:
    await _complete(request, Form.CHAT, model)


async def completions(request: Request, model: str = "") -> None:
    await _complete(request, Form.TEXT, model)


async def embeddings(request: Request, model: str = "") -> None:
    await delivery.send_json(request, await _submit(request, Form.EMBEDDINGS, model))


async def rerank(request: Request) -> None:
    await delivery.send_json(request, await _submit(request, Form.RERANK))


async def _complete(request: Request, form: Form, model: str) -> None:
    """Answer a completion. `model` is set if the path names it, as at Azure, and then prevails."""
    answer = await _submit(request, form, model)
    await (delivery.send_events if answer.order.stream else delivery.send_json)(request, answer)


async def inference(request: Request) -> None:
    """`{prompt, max_tokens, temperature 0.1-1.0, stop_words[]}`: the plain call."""
    answer = await _submit(request, Form.PLAIN)
    frame = await whole(request, answer)
    if frame.kind == Kind.ERROR:
        return await delivery.send_frame(request, frame)
    completion = orjson.loads(frame.body)
    plain = {
        "request_id": str(answer.order.id),
        "text": codec.said_of(frame.body).text,
        "finish_reason": codec.reason_of_whole(completion),
        "usage": completion.get("usage"),
    }
    return await request.answer_json(plain)


async def not_served(request: Request) -> None:
    """Refuse speech, pictures and films. Raises NotFound."""
    path = secret_keys.hidden(request.path)[:LONGEST_NAME]
    raise NotFound(f"this platform serves text only: there is no {request.method} {path}")


async def models(request: Request) -> None:
    listed = await served_models.listed(await address_counted_caller(request))
    data = [{**model, "object": "model"} for model in listed]
    await request.answer_json({"object": "list", "data": data})


async def model(request: Request, name: str) -> None:
    model_fields = await served_models.one(await address_counted_caller(request), name)
    await request.answer_json({**model_fields, "object": "model"})


async def balance(request: Request) -> None:
    """Answer the rest of the caller's cost quotas, in DeepSeek's shape."""
    await request.answer_json(await balance_of(await address_counted_caller(request)))


async def events(request: Request, completion_id: str) -> None:
    """Stream from the event after `Last-Event-ID` (WHATWG server-sent events)."""
    caller, after = await address_counted_caller(request), streaming.last_event(request)
    completion = await stream_resumption.own(request.call, caller, completion_id)
    written, silence = delivery.event_bytes, delivery.KEEP_ALIVE
    await streaming.send_again(request, caller, completion, written, silence, after=after)


async def _submit(request: Request, form: Form, model: str = "") -> AnswerStream:
    caller, raw, call = await caller_of(request), await request.body(), request.call
    if not form.task:
        body_length.check(caller, raw, model)
    body = requests.parsed(raw)
    if model:
        body["model"] = model
    options = Options.of(request.header_or_none)
    submission = await call.read(caller, body, len(raw), form, options)
    return await idempotency.submit(call, submission)
