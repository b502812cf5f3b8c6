"""Checks of requests for embeddings and rankings.

The fields are in `inference/engines/fields.py`. What a model or an engine cannot take is a
BadRequest that names the input and its place.
"""

from typing import Any

from inference.engines.base import PATHS, Engine, context_exceeded
from inference.engines.fields import MOST_DOCUMENTS, MOST_INPUTS, OF_TASK, tokens
from inference.errors import BadRequest, must_be
from inference.order import EMBED, RERANK
from inference.validation.schemas import Body

LONGEST_TOKEN = 16  # bytes, on average over a text
MOST_TOKENS = 300_000  # of all inputs, as at OpenAI
_ABILITY = {EMBED: ("embeddings", "makes no embeddings"), RERANK: ("rerank", "ranks no documents")}


def checked_task(body: Body, engine: Engine, task: str) -> Body:
    """Check a body and return it with lists of inputs or texts. Raises BadRequest."""
    _check_ability(engine, task)
    fields = OF_TASK[task]
    for name, value in body.items():
        if value is None:
            continue
        if name not in fields:
            what = f"`{name}` is not supported for {PATHS[task]}: leave it out"
            raise BadRequest(what, param=name)
        if not fields[name].holds(value):
            raise must_be(name, fields[name].should)
    body = {name: value for name, value in body.items() if value is not None}
    return _embeddings(body, engine) if task == EMBED else _ranking(body, engine)


def _check_ability(engine: Engine, task: str) -> None:
    name, cannot = _ABILITY[task]
    if getattr(engine.capabilities, name):
        return
    raise BadRequest(
        f"the model `{engine.config.name}` {cannot}: POST {PATHS[task]} takes models whose "
        f"`capabilities` at GET /v1/models do not say `{name}`: false",
        code="unsupported_value",
        param="model",
    )


# Embeddings --------------------------------------------------------------------------------------
def _embeddings(body: Body, engine: Engine) -> Body:
    value: Any = body.get("input")
    inputs: Any = [value] if isinstance(value, str) or _are_tokens(value) else value
    _check_count(inputs, "input", MOST_INPUTS)
    check = _check_text if isinstance(inputs[0], str) else _check_tokens
    total = 0
    for number, each in enumerate(inputs):
        total += check(each, "input" if inputs is not value else f"input[{number}]", engine)
    _check_total(total, "input")
    if body.get("dimensions") and not engine.capabilities.dimensions:
        what = f"the model `{engine.config.name}` makes embeddings of one length: leave it out"
        raise BadRequest(f"{what} (`dimensions`)", code="unsupported_value", param="dimensions")
    return {**body, "input": inputs, "encoding_format": body.get("encoding_format", "float")}


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and not isinstance(value[0], str | list)


def _check_tokens(value: Any, where: str, engine: Engine) -> int:
    """Returns their number. Raises BadRequest."""
    if not (isinstance(value, list) and value and tokens(len(value)).holds(value)):
        raise must_be(where, "a list of at least one token, or a text if all others are texts")
    if len(value) > engine.context_length:
        raise _too_long(engine, where)
    return len(value)


# Rankings ----------------------------------------------------------------------------------------
def _ranking(body: Body, engine: Engine) -> Body:
    query, documents = body.get("query"), body.get("documents")
    _check_text(query, "query", engine)
    _check_count(documents, "documents", MOST_DOCUMENTS)
    texts = [_text_of(each, f"documents[{n}]") for n, each in enumerate(documents or ())]
    beside, total = len(str(query).encode()), 0
    for number, text in enumerate(texts):
        total += _check_text(text, f"documents[{number}]", engine, beside)
    _check_total(total, "documents")
    return {**body, "documents": texts}


def _text_of(document: Any, where: str) -> Any:
    if not isinstance(document, dict):
        return document
    if unknown := sorted(map(str, document.keys() - {"text"})):
        raise BadRequest(f"`{where}.{unknown[0]}` is not a field of a document", param=where)
    return document.get("text")


# Both --------------------------------------------------------------------------------------------
def _check_count(values: Any, name: str, most: int) -> None:
    if not isinstance(values, list) or not 1 <= len(values) <= most:
        raise must_be(name, OF_TASK[EMBED if name == "input" else RERANK][name].should)


def _check_text(text: Any, where: str, engine: Engine, beside: int = 0) -> int:
    """Returns the fewest tokens that it may be. `beside` are bytes read with it."""
    if not isinstance(text, str) or not text:
        raise must_be(where, "a text that is not empty")
    fewest = (len(text.encode()) + beside) // LONGEST_TOKEN
    if fewest > engine.context_length:
        raise _too_long(engine, where)
    return fewest


def _check_total(likely: int, name: str) -> None:
    if likely > MOST_TOKENS:
        what = f"`{name}` has more than {MOST_TOKENS} tokens in all: send it in several requests"
        raise BadRequest(what, code="too_many_tokens", param=name)


def _too_long(engine: Engine, where: str) -> BadRequest:
    message = context_exceeded(engine.context_length, what=where)
    return BadRequest(message, code="context_length_exceeded", param=where)
