"""`/v1/tokenize` and `/v1/detokenize`: the tokens of a prompt by its model's own engine, and back.

Bodies and answers have the shape of vLLM's server ("Tokenizer API" in its documentation). They
count as requests and are not recorded: an engine only reads its tables.
"""

from collections.abc import Callable
from functools import partial

import orjson

from inference.api import engine_questions
from inference.api.http.callers import counted_caller
from inference.api.http.request import Request
from inference.engines.base import BadToken, Engine
from inference.engines.fields import DETOKENIZING, TOKENIZING, Fields, tokens
from inference.engines.transport.session import EngineSession
from inference.errors import BadRequest, must_be
from inference.intake.limits import body_length
from inference.intake.submission import Options, Submission
from inference.local_only import HEADER as RESIDENCY
from inference.validation import requests
from inference.validation.requests import Form
from inference.validation.schemas import Body
from tenants.key_scopes import Scope

_OF_A_CHAT = ("model", "messages", "tools", "chat_template_kwargs")
_OF_CHATS = ("messages", "tools", "chat_template_kwargs")


async def tokenize(request: Request) -> None:
    """Answer the tokens of a text or a chat."""
    body, submission = await _read(request, TOKENIZING, _prompt)
    numbers = await engine_questions.answer_of(submission, partial(_tokens, submission, body))
    answer = {"count": len(numbers), "max_model_len": submission.engine.context_length}
    await request.answer_json({**answer, "tokens": numbers, "token_strs": None})


async def detokenize(request: Request) -> None:
    """Answer the text of tokens."""
    body, submission = await _read(request, DETOKENIZING, _numbers)
    text = await engine_questions.answer_of(submission, partial(_text, body["tokens"]))
    await request.answer_json({"prompt": text})


# Reading -----------------------------------------------------------------------------------------
async def _read(
    request: Request, fields: Fields, prompt_of: Callable[[Body], tuple[Form, Body]]
) -> tuple[Body, Submission]:
    """Returns the body, and its prompt as a checked submission. Raises ApiError, NoSuchModel."""
    caller, raw = await counted_caller(request, Scope.INFERENCE), await request.body()
    body_length.check(caller, raw)
    body = _checked(requests.parsed(raw), fields, request.call.route)
    options = Options(requested_residency=request.header_or_none(RESIDENCY))
    form, prompt = prompt_of(body)
    return body, await request.call.read(caller, prompt, len(raw), form, options)


def _checked(body: Body, fields: Fields, path: str) -> Body:
    body = {name: value for name, value in body.items() if value is not None}
    for name, value in body.items():
        if name not in fields:
            raise BadRequest(f"`{name}` is not a field of {path}: leave it out", param=name)
        if not fields[name].holds(value):
            raise must_be(name, fields[name].should)
    return body


def _prompt(body: Body) -> tuple[Form, Body]:
    """Returns the body of the chat or the text whose tokens are asked for. Raises BadRequest."""
    if "messages" in body:
        if "prompt" in body:
            raise BadRequest("send either `prompt` or `messages`", param="prompt")
        return Form.CHAT, {name: body[name] for name in _OF_A_CHAT if name in body}
    if not isinstance(body.get("prompt"), str):
        raise must_be("prompt", "a text, unless there are `messages`")
    if alien := [name for name in _OF_CHATS if name in body]:
        raise BadRequest(f"`{alien[0]}` goes with `messages`", param=alien[0])
    return Form.TEXT, {name: body[name] for name in ("model", "prompt") if name in body}


def _numbers(body: Body) -> tuple[Form, Body]:
    """Returns the body of a text of these tokens. Raises BadRequest."""
    numbers = body.get("tokens")
    if not isinstance(numbers, list) or not numbers or not tokens(len(numbers)).holds(numbers):
        raise must_be("tokens", "a list of tokens, at least one")
    return Form.TEXT, {"model": body.get("model"), "prompt": numbers}


# Asking ------------------------------------------------------------------------------------------
async def _tokens(
    submission: Submission, body: Body, engine: Engine, session: EngineSession
) -> list[int]:
    chat = submission.chat
    if ("chat" if chat else "text") not in engine.tokenizes:
        raise _not_told(engine, "of a chat" if chat else "of a text")
    prompt = engine.prepare(orjson.loads(submission.body), chat=chat)
    special = body.get("add_special_tokens", not chat)
    return await engine.tokens_of(session, prompt, chat=chat, special=special)


async def _text(numbers: list[int], engine: Engine, session: EngineSession) -> str:
    if not engine.tokenizes:
        raise _not_told(engine, "")
    try:
        return await engine.text_of(session, numbers)
    except BadToken:
        raise must_be("tokens", "tokens of this model") from None


def _not_told(engine: Engine, what: str) -> BadRequest:
    """Returns the error for a kind of engine that has no such question."""
    kind = engine.config.kind
    of = f" {what}" if what else ""
    message = f"the engines of `{engine.config.name}` (`{kind}`) do not say the tokens{of}"
    return BadRequest(message, code="unsupported_value", param="model")
