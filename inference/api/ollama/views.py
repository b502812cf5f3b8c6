"""The endpoints of Ollama's API. Each checks its shape, submits, and delivers."""

import re

from inference.api import idempotency, served_models, stream_resumption
from inference.api.http import streaming
from inference.api.http.callers import address_counted_caller, caller_of
from inference.api.http.request import Request
from inference.api.ollama import delivery, fields, models, names, requests
from inference.api.ollama.lines import LineWriter, Shape, Timing
from inference.api.ollama.requests import ModelRequest
from inference.errors import NotFound
from inference.intake.access import allowed
from inference.intake.limits import body_length
from inference.intake.submission import Options
from inference.validation.requests import parsed
from inference.validation.schemas import Body
from tenants.caller import Caller

RUNNING = b"Ollama is running"
GENERATE = "/api/generate"
_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
_NO_TIME = re.compile(r"[-+]?0+(\.0*)?[a-zµ]*")  # 0, "0s"


async def running(request: Request) -> None:
    """Answer that something is here, without a key: clients ask before they have one."""
    await request.answer(RUNNING, headers=_TEXT)


async def version(request: Request) -> None:
    await address_counted_caller(request)
    await request.answer_json({"version": models.VERSION})


# Models -------------------------------------------------------------------------------------------
async def tags(request: Request) -> None:
    listed = await served_models.listed(await address_counted_caller(request))
    await request.answer_json({"models": list(map(models.tag, listed))})


async def processes(request: Request) -> None:
    caller = await address_counted_caller(request)
    listed = await served_models.listed(caller)
    await request.answer_json({"models": models.running(caller, listed)})


async def show(request: Request) -> None:
    caller = await address_counted_caller(request)
    present = fields.checked(parsed(await request.body()), fields.SHOW)
    name = names.known_as(caller, names.name_in(present))
    await request.answer_json(models.shown(await served_models.one(caller, name)))


async def not_offered(request: Request, *_: str) -> None:
    await address_counted_caller(request)
    raise NotFound(
        "models are not pulled, made or deleted here: an operator of this installation imports "
        "them; GET /api/tags lists those that you may use",
        code="not_offered",
    )


# Answers ------------------------------------------------------------------------------------------
async def chat(request: Request) -> None:
    timing, caller, raw, present = await arrived(request, fields.CHAT)
    if not present.get("messages"):
        return await _say_loaded(request, caller, present, is_chat=True)
    model_request = requests.chat(caller, present)
    return await _answer(request, caller, model_request, len(raw), timing)


async def generate(request: Request) -> None:
    timing, caller, raw, present = await arrived(request, fields.GENERATE)
    if not present.get("prompt"):
        return await _say_loaded(request, caller, present, is_chat=False)
    model_request = requests.generate(caller, present, len(raw))
    return await _answer(request, caller, model_request, len(raw), timing)


async def arrived(
    request: Request, known: dict[str, fields.Field], *, fits_whole: bool = True
) -> tuple[Timing, Caller, bytes, Body]:
    """Returns when a request came, its caller, its bytes and its fields, which are checked.

    `fits_whole`: the context has to hold all of its body.
    """
    timing = Timing()
    caller, raw = await caller_of(request), await request.body()
    if fits_whole:
        body_length.check(caller, raw)
    return timing, caller, raw, fields.checked(parsed(raw), known)


async def _say_loaded(request: Request, caller: Caller, present: Body, *, is_chat: bool) -> None:
    """Answer a request without a prompt: at Ollama it loads the model, here it is loaded."""
    name = names.name_in(present)
    await check_model(request, caller, name)
    reason = "unload" if _NO_TIME.fullmatch(str(present.get("keep_alive"))) else "load"
    await request.answer_json(Shape(name, is_chat=is_chat).loaded(reason))


async def check_model(request: Request, caller: Caller, name: str) -> None:
    """Check the model of a request without work for it, which counts as a request."""
    await request.call.count_request(caller)
    allowed.engine_for(caller, names.known_as(caller, name))


async def _answer(
    request: Request, caller: Caller, model_request: ModelRequest, length: int, timing: Timing
) -> None:
    body, form, shape, is_streamed, shows_thinking, sent = model_request
    options = Options.of(request.header_or_none, streamed=is_streamed, client_body=sent)
    submission = await request.call.read(caller, body, length, form, options)
    answer = await idempotency.submit(request.call, submission)
    timing.recorded()
    writer = LineWriter(shape, timing, shows_thinking=shows_thinking)
    if is_streamed:
        return await delivery.send_lines(request, answer, writer, shape)
    timing.comes_whole()
    return await delivery.send_whole(request, answer, writer)


async def stream(request: Request, identity: str) -> None:
    """Stream again from the event after `Last-Event-ID`."""
    caller, after = await address_counted_caller(request), streaming.last_event(request)
    completion = await stream_resumption.own(request.call, caller, identity)
    model = f"{completion.model}:{completion.adapter}" if completion.adapter else completion.model
    shape = Shape(names.tagged(model), is_chat=completion.route != GENERATE)
    writer, keep_alive = LineWriter(shape, after=after), delivery.sign_of_life(shape)
    await streaming.send_again(
        request, caller, completion, writer.written, keep_alive, headers=streaming.JSON_LINES
    )
