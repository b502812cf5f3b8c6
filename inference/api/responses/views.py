"""The endpoints that make responses. Each checks its shape, submits, and delivers."""

from msgspec import structs

from inference.api import counting, idempotency, stream_resumption
from inference.api.http import streaming
from inference.api.http.callers import address_counted_caller, caller_of, counted_caller
from inference.api.http.request import Request, whole
from inference.api.responses import answers, compaction, delivery, fields, items, requests
from inference.api.responses.events import KEEP_ALIVE, EventWriter
from inference.api.responses.output import Shape
from inference.api.responses.requests import ResponseRequest
from inference.api.responses.stored import background, chain, resource
from inference.errors import BadRequest
from inference.intake.answer_stream import AnswerStream
from inference.intake.limits import body_length
from inference.intake.submission import Options, Submission
from inference.local_only import HEADER as RESIDENCY
from inference.order import Stored
from inference.stream.frames import Kind
from inference.validation.requests import Form, parsed
from inference.validation.schemas import Body
from tenants.caller import Caller
from tenants.key_scopes import Scope

_FILE = b'"file_data"'  # whose length counts for nothing


async def create(request: Request) -> None:
    caller = await caller_of(request)
    chat, present = await _read(request, caller, fields.ALL)
    streams, alone = bool(present.get("stream")), bool(present.get("background"))
    if alone and not chat.head["store"]:
        raise BadRequest("`background` needs `store`: true", param="background")
    options = Options.of(request.header_or_none, streamed=streams, client_body=present)
    submission = await _submission(request, caller, chat, options)
    if chat.head["store"]:
        submission = structs.replace(submission, stored=_stored(chat, alone=alone))
    answer = await idempotency.submit(request.call, submission)
    shape = _shape(answer, chat)
    if alone and not streams:
        return await background.answer(request, answer, shape)
    send = delivery.send_events if streams else delivery.send_response
    return await send(request, answer, shape)


async def input_tokens(request: Request) -> None:
    """Answer the tokens of a prompt. It counts as a request, and is not recorded."""
    caller = await counted_caller(request, Scope.INFERENCE)
    chat, _ = await _read(request, caller, fields.OF_COUNTING)
    options = Options(requested_residency=request.header_or_none(RESIDENCY))
    submission = await _submission(request, caller, chat, options)
    tokens = await counting.input_tokens(submission)
    await request.answer_json({"object": "response.input_tokens", "input_tokens": tokens})


async def compact(request: Request) -> None:
    """Answer the user's messages and the model's summary of all others."""
    caller = await caller_of(request)
    chat, present = await _read(request, caller, fields.OF_COMPACTION)
    chat = chat._replace(body=compaction.body_of(chat.body))
    options = Options.of(request.header_or_none, client_body=present)
    submission = await _submission(request, caller, chat, options)
    answer = await idempotency.submit(request.call, submission)
    frame = await whole(request, answer)
    if frame.kind == Kind.ERROR:
        return await delivery.send_error(request, frame)
    shape = _shape(answer, chat)
    response = answers.response(frame, shape)
    every = [*chat.earlier, *chat.listed]
    return await request.answer_json(compaction.compacted(response, every, shape))


async def events(request: Request, identity: str) -> None:
    """Stream any completion again, from the event after `Last-Event-ID`."""
    caller, after = await address_counted_caller(request), streaming.last_event(request)
    completion = await stream_resumption.own(request.call, caller, identity)
    writer = EventWriter(await resource.shape_of(completion), after_chunk=after)
    await streaming.send_again(request, caller, completion, writer.written, KEEP_ALIVE)


# Requests -----------------------------------------------------------------------------------------
async def _read(
    request: Request, caller: Caller, names: tuple[str, ...]
) -> tuple[ResponseRequest, Body]:
    """Returns the request, and those of the fields that its body has. Raises ApiError."""
    call, raw = request.call, await request.body()
    with requests.own_names():
        if _FILE not in raw:
            body_length.check(caller, raw)
    present = fields.checked(parsed(raw), names)
    previous = present.get("previous_response_id")
    earlier = await chain.earlier_items(call, caller, previous, len(raw)) if previous else []
    references = await chain.referenced(call, caller, present.get("input"), len(raw))
    return requests.read(caller, present, len(raw), earlier, references), present


async def _submission(
    request: Request, caller: Caller, chat: ResponseRequest, options: Options
) -> Submission:
    with requests.own_names():
        return await request.call.read(caller, chat.body, chat.length, Form.CHAT, options)


def _stored(chat: ResponseRequest, *, alone: bool) -> Stored:
    described = [items.described(item) for item in chat.listed]
    packs = chat.packs_thoughts
    every = [*chat.earlier, *described]
    return chain.stored(every, chat.head, packs_thoughts=packs, background=alone)


def _shape(answer: AnswerStream, chat: ResponseRequest) -> Shape:
    order = answer.order
    return Shape(order.id, int(order.created_at), chat.head, chat.packs_thoughts)
