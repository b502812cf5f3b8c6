"""A further front end, which shows what one takes: JSON lines, and errors in a form of its own."""

from contextlib import aclosing
from typing import Any

import orjson

from inference.api import idempotency, served_models, stream_resumption
from inference.api.http import streaming
from inference.api.http.callers import address_counted_caller, caller_of
from inference.api.http.request import Request, attended, whole
from inference.api.http.route_table import RouteTable, is_below
from inference.api.http.router import ErrorWriter, Router
from inference.codec import events
from inference.errors import ApiError, Cancelled
from inference.intake.answer_stream import AnswerStream
from inference.intake.submission import Options
from inference.stream.frames import Frame, Kind
from inference.validation.requests import Form, parsed

LINES = [(b"content-type", b"application/jsonl")]


async def chat(request: Request) -> None:
    await _answer(request, Form.CHAT)


async def plain(request: Request) -> None:
    await _answer(request, Form.PLAIN)


async def _answer(request: Request, form: Form) -> None:
    call, caller, raw = request.call, await caller_of(request), await request.body()
    options = Options.of(request.header_or_none)
    submission = await call.read(caller, parsed(raw), len(raw), form, options)
    answer = await idempotency.submit(call, submission)
    if answer.order.stream:
        return await _stream(request, answer)
    return await _end(request, await whole(request, answer))


async def _end(request: Request, frame: Frame) -> None:
    headers = LINES + ([(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else [])
    await request.answer(_line(frame), frame.status, headers)


async def _stream(request: Request, answer: AnswerStream) -> None:
    with attended(request, answer):
        async with aclosing(answer.frames()) as frames:
            async for frame in frames:
                if frame and not request.started:
                    request.call.tell_frame(frame)
                    if frame.kind == Kind.ERROR:
                        return await _end(request, frame)
                    await request.start(200, LINES)
                if frame:
                    await request.write(_line(frame), more=not frame.final)
    return None


async def resume(request: Request, completion_id: str, after: str) -> None:
    caller = await address_counted_caller(request)
    completion = await stream_resumption.own(request.call, caller, completion_id)
    number = int(after)
    await streaming.send_again(
        request, caller, completion, _line, b"\n", after=number, headers=LINES
    )


async def models(request: Request) -> None:
    listed = await served_models.listed(await address_counted_caller(request))
    await request.answer(orjson.dumps({"names": [model["id"] for model in listed]}))


def _line(frame: Frame) -> bytes:
    if frame.kind == Kind.ERROR:
        return _problem(orjson.loads(frame.body)["error"])
    if not frame.body:
        return _of_error(Cancelled())
    if frame.kind == Kind.BODY:
        answer = orjson.loads(frame.body)
        text, reasons = events.said_of(frame.body).text, [events.finish_reason(answer)]
        return _json({"text": text, "finish_reason": reasons[0], "usage": answer.get("usage")})
    pieces = frame.body.split(b"\n\n")
    text = "".join(events.said_in(piece).text for piece in pieces)
    chunks = map(events.parsed, pieces) if frame.kind == Kind.END else ()
    reason = next(filter(None, map(events.finish_reason, chunks)), "")
    if frame.kind == Kind.END and not reason:
        return _of_error(Cancelled())
    return _json({"number": frame.last, "text": text, "finish_reason": reason})


def _of_error(error: ApiError) -> bytes:
    return _problem(orjson.loads(error.body())["error"])


def _problem(error: dict[str, Any]) -> bytes:
    return _json({"problem": {**error, "what": error["code"]}})


def _json(fields: dict[str, Any]) -> bytes:
    return orjson.dumps(fields) + b"\n"


_TABLE = RouteTable(
    {
        "/lines/chat": {"POST": chat},
        "/lines/plain": {"POST": plain},
        "/lines/models": {"GET": models},
        "/lines/{id}/after/{number}": {"GET": resume},
    }
)


def owns(path: str) -> bool:
    return is_below(path, "/lines")


router = Router(_TABLE.find, owns, ErrorWriter(_of_error, _of_error))
