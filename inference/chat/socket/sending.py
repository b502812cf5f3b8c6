"""Submits a question on the page, or a wish for another answer, as a request."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec

from inference.chat import exchanges, fitting, history, prompt, recorded_exchange
from inference.chat.exchanges import Exchange
from inference.chat.placement import Request
from inference.chat.problems import TOO_LONG, ChatRefused, too_long
from inference.chat.protocol import Send
from inference.chat.threads import off_loop
from inference.engines.base import Engine
from inference.errors import BadRequest, Unavailable
from inference.intake import submit as intake
from inference.intake.access import allowed
from inference.intake.access.allowed import NoSuchModel, NotAllowed
from inference.intake.context import Context
from inference.intake.errors import EnginesPaused, KeyTaken, NotAdmitted, OutOfService, QueueFull
from inference.intake.refusals import denied
from inference.intake.submission import Arrival, Options, Submission, read
from inference.log_context import works_for
from inference.metrics.labels import ROUTES
from inference.metrics.requests import Counted
from inference.tracing import span_values, spans
from inference.validation.requests import Form
from tenants.caller import Caller
from tenants.models import Member
from tenants.rate_limits.admission import Admission

ROUTE = "chat"
ROUTES.add(ROUTE)


@contextmanager
def counted(tenant_id: UUID) -> Iterator[Counted]:
    request = Counted("chat")
    request.tenant_id = tenant_id
    span = spans.front(ROUTE, lambda _name: "")  # a socket has no headers for single messages
    try:
        yield request
    except Exception as problem:
        request.status, reason = _status(problem)
        request.refused(reason)
        raise
    finally:
        request.ended(ROUTE)
        span_values.end(span, request, request.log_id, "chat message", {})


def _status(problem: Exception) -> tuple[int, str]:
    """Returns a status like that of other front ends, and the reason."""
    match problem:
        case NotAdmitted():
            return 429, problem.admission.tier
        case NotAllowed():
            return 403, problem.code
        case NoSuchModel():
            return 404, "model_not_found"
        case ChatRefused():
            return 404 if problem.code == "model_not_found" else 400, problem.code
        case QueueFull():
            return 503, "queue_full"
        case EnginesPaused():
            return 503, "engine_unavailable"
        case OutOfService():
            return 503, "server_overloaded"
    return 500, "internal_error"


STREAM = Options(streamed=True)
_on_their_way: set[asyncio.Task[Exchange]] = set()


async def submit(
    context: Context, caller: Caller, member: Member, send: Request, client_ip: str
) -> Exchange:
    """Submit what a page sends, even if the socket is lost meanwhile: half of it helps nobody.

    Raises ChatRefused, NotAdmitted, OutOfService.
    """
    task = asyncio.create_task(_submit(context, caller, member, send, client_ip))
    _on_their_way.add(task)
    task.add_done_callback(_arrived)
    return await asyncio.shield(task)


def _arrived(task: asyncio.Task[Exchange]) -> None:
    _on_their_way.discard(task)
    if not task.cancelled():
        task.exception()  # those that wait get it


async def _submit(
    context: Context, caller: Caller, member: Member, send: Request, client_ip: str
) -> Exchange:
    look = off_loop(member, exchanges.existing_exchange, repeatable=True)
    if existing := await look(member, send):
        return existing
    with counted(caller.tenant_id) as request:
        works_for(request)
        return await _ask(context, caller, member, send, client_ip, request)


async def _ask(
    context: Context,
    caller: Caller,
    member: Member,
    send: Request,
    client_ip: str,
    request: Counted,
) -> Exchange:
    engine = engine_for(context, caller, send.model, client_ip)
    inquiry = await off_loop(member, history.inquiry, repeatable=True)(member, send)
    if isinstance(send, Send) and send.attachments:
        fitting.check(engine, send.model, inquiry.earlier, inquiry.question)
    body, left_out = prompt.fitted(inquiry.earlier, inquiry.question, engine, send.max_tokens)
    body["model"] = send.model  # an adapter or an alias, where the engine has its base's name
    stored: list[Exchange] = []

    async def put(completion_id: UUID) -> None:
        put_now = off_loop(member, exchanges.put, repeatable=True)
        stored.append(await put_now(member, send, completion_id, left_out))

    try:
        affinity = str(inquiry.conversation or "")
        submission = _submission(caller, engine, body, Arrival(ROUTE, client_ip), affinity)
        claim = recorded_exchange.claim(member, send)
        submission = msgspec.structs.replace(submission, claim=claim)
        answer = await intake.submit(context, submission, before_queue=put)
    except KeyTaken:
        stored_by_another = off_loop(member, recorded_exchange.exchange, repeatable=True)
        return await stored_by_another(member, send)
    except NotAdmitted as refused:
        refused.answer_tokens = _shorter_answer(refused.admission, body["max_tokens"])
        raise
    except OutOfService:
        if not stored:
            raise
        request.status = 503
        return stored[0]  # the record shows that it did not run, and so does its answer
    request.order, request.status = answer.order, 200
    answer.leave()  # readers follow the stored events instead
    return replace(stored[0], place=lambda: answer.place_now)


def _shorter_answer(admission: Admission, max_tokens: int) -> int:
    """Returns the tokens of an answer that the quota has room for; 0 if too few."""
    if admission.unit != "tokens":
        return 0
    missing = admission.asked - max(0, admission.limit - admission.used)
    shorter = max_tokens - missing
    return shorter if shorter >= prompt.SHORTEST_ANSWER else 0


def engine_for(context: Context, caller: Caller, model: str, client_ip: str) -> Engine:
    """Returns the engine of a model, if the page offers it. Raises ChatRefused."""
    try:
        engine = allowed.engine_for(caller, model)
    except Unavailable:  # the caller is local-only by now, and the model is hosted
        raise ChatRefused("model_not_found") from None
    except allowed.NoSuchModel as unknown:
        if unknown.hidden:
            where = context, caller, ROUTE, client_ip
            denied(*where, status=404, code="model_not_found", model=unknown.name)
        raise ChatRefused("model_not_found") from None
    if not engine.capabilities.text:
        raise ChatRefused("model_not_found")
    return engine


def _submission(
    caller: Caller, engine: Engine, body: dict[str, Any], arrival: Arrival, affinity: str
) -> Submission:
    """Raises ChatRefused for what no model of this kind takes."""
    length, estimate = prompt.length(body), prompt.estimate(body)
    options = msgspec.structs.replace(STREAM, affinity=affinity)
    try:
        submission = read(caller, body, length, Form.CHAT, arrival, options)
    except BadRequest as problem:
        if problem.code != TOO_LONG:
            raise ChatRefused("invalid_message") from None
        tokens = prompt.content_tokens(body["messages"][-1]["content"])
        room = prompt.room(engine.context_length)
        raise ChatRefused("too_long", too_long(tokens, engine.context_length, room)) from None
    chats = {"outlives_reader": True, "keeps_text": True, "estimate": estimate}
    return msgspec.structs.replace(submission, **chats)
