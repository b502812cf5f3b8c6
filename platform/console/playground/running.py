"""Runs one request of the playground: the same way as a request with a key, as its member."""

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import orjson

from inference.api.call import Call
from inference.api.refusals import REFUSALS
from inference.codec.events import parsed, split
from inference.errors import ApiError
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.submission import Options
from inference.metrics.labels import ROUTES
from inference.stream.frames import Frame, Kind
from inference.tracing import spans
from inference.validation.requests import Form
from tenants.caller import Caller

log = logging.getLogger(__name__)
ROUTE = "playground"
ROUTES.add(ROUTE)


class Started(msgspec.Struct, frozen=True, tag="started"):
    request: str  # its id


class Waiting(msgspec.Struct, frozen=True, tag="waiting"):
    before: int  # requests before it in the queue


class Events(msgspec.Struct, frozen=True, tag="events"):
    """Chunks of the stream, as a client of the API gets them."""

    chunks: list[dict[str, Any]]


class Refused(msgspec.Struct, frozen=True, tag="error", omit_defaults=True):
    """An error as a client of the API gets it. `refusal` is a limit's, for its page."""

    status: int
    code: str
    message: str
    refusal: str = ""


class Over(msgspec.Struct, frozen=True, tag="end"):
    upstream: str = ""  # the pool and the engine


ToPage = Started | Waiting | Events | Refused | Over
Say = Callable[[ToPage], Awaitable[None]]


async def run(
    context: Context, caller: Caller, client_ip: str, body: dict[str, Any], say: Say
) -> None:
    """Submit the request and tell the page what comes. Cancelled, it cancels the request."""
    call = Call(context, ROUTE, client_ip, ROUTE)
    call.caller, call.counted.tenant_id = caller, caller.tenant_id
    call.span = spans.front(ROUTE, lambda _name: "")
    try:
        length = len(orjson.dumps(body))
        options = Options(streamed=True)
        submission = await call.read(caller, body, length, Form.CHAT, options)
        answer = await call.submit(submission)
        call.counted.status = 200
        await say(Started(call.request_id))
        await _tell(answer, say)
    except REFUSALS as refusal:
        await _refuse(call, refusal, say)
    except Exception as problem:
        log.exception("a run of the playground (%s)", call.request_id)
        await _refuse(call, problem, say)
    finally:
        call.end(ROUTE, {})


async def _refuse(call: Call, problem: Exception, say: Say) -> None:
    error: ApiError = await call.refused(problem)
    call.counted.status = error.status
    await say(Refused(error.status, error.code, error.message, error.refusal_id))


async def _tell(answer: AnswerStream, say: Say) -> None:
    upstream = ""
    async with contextlib.aclosing(answer.frames()) as frames:
        if before := answer.place_now.position:
            await say(Waiting(before - 1))
        async for frame in frames:
            if frame is None:
                await _tell_place(answer, say)
                continue
            upstream = frame.upstream or upstream
            await say(_failure(frame) if frame.kind == Kind.ERROR else _events(frame))
    await say(Over(upstream))


async def _tell_place(answer: AnswerStream, say: Say) -> None:
    if position := answer.place_now.position:
        await say(Waiting(position - 1))


def _events(frame: Frame) -> Events:
    chunks = [chunk for event in split(frame.body) if (chunk := parsed(event))]
    return Events(chunks)


def _failure(frame: Frame) -> Refused:
    error = orjson.loads(frame.body)["error"]
    return Refused(frame.status, str(error.get("code", "")), str(error.get("message", "")))
