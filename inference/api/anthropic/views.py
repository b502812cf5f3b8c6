"""The endpoints of Anthropic's Messages API. Each checks its shape, submits, and delivers."""

import re

from inference.api import counting, idempotency, served_models, stream_resumption
from inference.api.anthropic import answers, delivery, models, requests
from inference.api.anthropic.answers import Thoughts
from inference.api.anthropic.events import PING, EventWriter
from inference.api.http import streaming
from inference.api.http.callers import address_counted_caller, caller_of, counted_caller
from inference.api.http.request import Request
from inference.errors import BadRequest
from inference.intake.limits import body_length
from inference.intake.submission import Options
from inference.local_only import HEADER as RESIDENCY
from inference.stream.frames import Frame
from inference.validation.requests import Form, parsed
from tenants.key_scopes import Scope

_MEDIA = b'"source"'  # of an image or a document, whose length counts for nothing
_EVENT_ID = re.compile("([0-9]{1,12})([oh]?)")


async def messages(request: Request) -> None:
    caller, raw, call = await caller_of(request), await request.body(), request.call
    if _MEDIA not in raw:
        body_length.check(caller, raw)
    sent = parsed(raw)
    chat = requests.chat(caller, sent)
    streamed = bool(chat.body.get("stream"))
    options = Options.of(request.header_or_none, streamed=streamed, client_body=sent)
    submission = await call.read(caller, chat.body, len(raw), Form.CHAT, options)
    answer = await idempotency.submit(call, submission)
    send = delivery.send_events if streamed else delivery.send_message
    await send(request, answer, chat.thoughts)


async def count_tokens(request: Request) -> None:
    """Answer the tokens of a prompt. It counts as a request, and is not recorded."""
    caller, raw = await counted_caller(request, Scope.INFERENCE), await request.body()
    if _MEDIA not in raw:
        body_length.check(caller, raw)
    chat = requests.chat(caller, parsed(raw), for_answer=False)
    options = Options(requested_residency=request.header_or_none(RESIDENCY))
    submission = await request.call.read(caller, chat.body, len(raw), Form.CHAT, options)
    await request.answer_json({"input_tokens": await counting.input_tokens(submission)})


async def list_models(request: Request) -> None:
    listed = await served_models.listed(await address_counted_caller(request))
    await request.answer_json(models.page(listed, request.query))


async def model(request: Request, name: str) -> None:
    fields = await served_models.one(await address_counted_caller(request), name)
    await request.answer_json(models.described(fields))


async def events(request: Request, identity: str) -> None:
    """Stream again from the event after `Last-Event-ID`."""
    call, caller = request.call, await address_counted_caller(request)
    after, thoughts = _last_event(request)
    completion = await stream_resumption.own(call, caller, identity)
    writer = EventWriter(answers.message_id(completion.pk.hex), None, thoughts, after=after)

    def written(frame: Frame) -> bytes:
        return writer.written(frame, call.request_id)

    await streaming.send_again(request, caller, completion, written, PING)


def _last_event(request: Request) -> tuple[int, Thoughts]:
    match = _EVENT_ID.fullmatch(request.header(b"last-event-id") or "0")
    if match is None:
        raise BadRequest("Last-Event-ID must be the id of an event", param="Last-Event-ID")
    return int(match[1]), Thoughts(match[2])
