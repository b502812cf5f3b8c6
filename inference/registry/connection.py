"""The test of an engine's connection, before the engine is added.

It asks what a worker would ask, over the same connections: the same addresses are refused, the same
certificates accepted. It is for operators alone: unlike an engine's state, it tells a refused
connection from a silent one.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import orjson

from inference.engine_entries import EngineEntry, Fields
from inference.engines import built
from inference.engines.base import Engine
from inference.engines.transport.failure_reason import why_away
from inference.engines.transport.session import EngineSession
from infrastructure.networks import AddressRefused

LONGEST_S = 8.0  # the whole test
MOST_MODELS = 200
_UNDECLARED = 100_000_000  # tokens: a context that no engine has
_AT_ENDS = ("/chat/completions", "/completions", "/embeddings", "/models")  # of a wrong address
_OK, _AUTH, _NO_PATH = 200, (401, 403), (404, 405, 410)


class Problem(StrEnum):
    """Faults of a connection, in the order in which one is made."""

    ADDRESS = "address"  # no engine may be there
    NAME = "name"  # its name has no address
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TLS = "tls"
    NO_HTTP = "no_http"
    KEY = "key"
    MOVED = "moved"  # it redirects, which is not followed
    PATH = "path"
    STATUS = "status"  # another status
    FORM = "form"  # what it answers is no list of models
    NO_MODEL = "no_model"  # the list has not the model that was named


@dataclass(frozen=True, slots=True)
class ListedModel:
    id: str
    context_length: int = 0  # tokens; 0: the list does not say


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome. `detail` is a status or a reason, `better_url` where the API is instead."""

    problem: Problem | None = None
    detail: str = ""
    better_url: str = ""
    models: tuple[ListedModel, ...] = ()
    model: str = ""  # the one that was looked at
    context_length: int = 0
    slots: int = 0
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    took_ms: int = 0


class _Failure(Exception):
    def __init__(self, problem: Problem, detail: str = "", better_url: str = "") -> None:
        super().__init__(problem)
        self.report = Report(problem, detail, better_url)


async def examine(fields: Fields, model: str = "") -> Report:
    """Returns what an engine with these fields says of itself, within LONGEST_S seconds.

    `model` is the one to look at, as the engine calls it; "": its first. Raises ValueError for
    fields that no engine may have.
    """
    began = time.monotonic()
    engine = _engine(fields, model or "-")
    try:
        async with asyncio.timeout(LONGEST_S), EngineSession() as session:
            report = await _report(engine, session, model)
    except _Failure as failure:
        report = failure.report
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as problem:
        report = Report(*_reason(problem))
    return replace(report, took_ms=round((time.monotonic() - began) * 1000))


def _engine(fields: Fields, model: str) -> Engine:
    own = {**fields, "model": model, "context_length": _UNDECLARED}
    return built(EngineEntry("-", "-", "-", own, from_file=False))


async def _report(engine: Engine, session: EngineSession, model: str) -> Report:
    models = await _models(engine, session)
    chosen = next((each for each in models if not model or each.id == model), None)
    if chosen is None:
        return Report(Problem.NO_MODEL, models=models)
    known = type(engine)(replace(engine.config, model=chosen.id))
    await known.probe(session)
    context = known.context_length if known.context_length < _UNDECLARED else 0
    return Report(
        models=models,
        model=chosen.id,
        context_length=context or chosen.context_length,
        slots=known.reported_slots,
        capabilities=known.known,
    )


async def _models(engine: Engine, session: EngineSession) -> tuple[ListedModel, ...]:
    status, body = await engine.model_list(session)
    if status == _OK:
        return _listed(body)
    if status in _AUTH:
        raise _Failure(Problem.KEY, str(status))
    if status in _NO_PATH:
        raise _Failure(Problem.PATH, str(status), await _better_url(engine, session))
    raise _Failure(Problem.MOVED if 300 <= status < 400 else Problem.STATUS, str(status))


def _listed(body: bytes) -> tuple[ListedModel, ...]:
    try:
        rows = orjson.loads(body)["data"]
        return tuple(_model(row) for row in rows[:MOST_MODELS])
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _Failure(Problem.FORM) from None


def _model(row: Mapping[str, Any]) -> ListedModel:
    """Returns a model of the list. Its context has several names in the wild."""
    lengths = (row.get(name) for name in ("max_model_len", "context_length", "context_window"))
    length = next((each for each in lengths if type(each) is int and each > 0), 0)
    return ListedModel(str(row["id"])[:500], length)


async def _better_url(engine: Engine, session: EngineSession) -> str:
    """Returns an address near this one with a list of models, "" if there is none."""
    for url in _nearby(engine.config.url):
        other = type(engine)(replace(engine.config, url=url))
        status, body = await other.model_list(session)
        try:
            if status == _OK and _listed(body):
                return url
        except _Failure:
            continue
    return ""


def _nearby(url: str) -> Iterator[str]:
    """Yields addresses that people mean: with /v1, without it, without an endpoint's path."""
    parts = urlsplit(url.rstrip("/"))
    path = parts.path
    for end in _AT_ENDS:
        path = path.removesuffix(end)
    other = path.removesuffix("/v1") if path.endswith("/v1") else path + "/v1"
    for each in dict.fromkeys((path, other)):
        if each != parts.path:
            yield urlunsplit((parts.scheme, parts.netloc, each, "", ""))


def _reason(problem: BaseException) -> tuple[Problem, str]:
    """Returns what an exception means, and its detail for people."""
    causes = list(_causes(problem))
    if refused := next((each for each in causes if isinstance(each, AddressRefused)), None):
        return Problem.ADDRESS, str(refused)
    for kinds, meaning in _MEANINGS:
        if any(isinstance(each, kinds) for each in causes):
            return meaning, why_away(problem) if meaning is Problem.TLS else ""
    return Problem.NO_HTTP, ""


def _causes(problem: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = problem
    while following is not None:
        yield following
        if isinstance(error := getattr(following, "os_error", None), OSError):
            yield error
        following = following.__cause__


_MEANINGS: tuple[tuple[tuple[type[BaseException], ...], Problem], ...] = (
    ((aiohttp.ClientConnectorDNSError, socket.gaierror, UnicodeError), Problem.NAME),
    ((ssl.SSLError, aiohttp.ClientSSLError), Problem.TLS),
    ((TimeoutError,), Problem.TIMEOUT),
    ((ConnectionRefusedError,), Problem.REFUSED),
    ((aiohttp.ClientConnectorError,), Problem.UNREACHABLE),
)
