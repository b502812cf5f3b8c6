"""The contract of an engine kind: how to ask it, and how to read what it says.

One kind, one file, found by the dict KINDS in `engines/__init__.py`.
"""

import logging
import math
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson
from django.conf import settings

from inference import progress
from inference.engines import reading, taking_up
from inference.engines.capabilities import MEDIA, NAMES, Capabilities
from inference.engines.connection import Answer, BrokenOff, NoConnection
from inference.engines.fields import CHAT, TEXT, Fields
from inference.engines.gathering import AT_ONCE
from inference.engines.load import Load
from inference.engines.prompt_bound import GROWTH, Form, Template, prompt_bound
from inference.engines.session import EngineSession
from inference.engines.statuses import Meaning, meaning
from inference.engines.why_away import without_ports
from inference.order import Order
from inference.pools import MOST_SLOTS, SLOTS
from inference.progress import Progress
from inference.templating import control_tokens
from inference.tracing.spans import header_lines
from infrastructure.redis.link import RedisLink

SILENCE_S, LONGEST_SILENCE_S = 10.0, 3600.0


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """One entry of FOREBAY_ENGINES."""

    name: str  # the model, as tenants call it
    kind: str
    url: str
    model: str  # the model, as the engine calls it
    api_key: str = field(default="", repr=False)  # as it is, or `sealed:` (seal_secret)
    slots: int = SLOTS
    auto_slots: bool = False  # they are as many as the engine says, or said last
    context_length: int = 8192  # tokens, prompt and answer together
    hosted: bool = False  # somebody else's machine: not for tenants that are local-only
    created: int = 0  # Unix time, for GET /v1/models; 0: when Forebay was installed
    private_cache: bool = False  # the operator's word that tenants do not share its prompt cache
    capabilities: Mapping[str, bool] = field(default_factory=dict)  # beyond what we know ourselves
    template_tokens: int = 0  # of the chat template's own words; 0: as the engine counts them
    priority_scheduling: bool = False  # vLLM was started with --scheduling-policy priority
    silence_s: float = SILENCE_S  # without even its health, before what runs there is given up
    # Seconds; 0: the usual ones (worker/stalls.py).
    stall_s: float = 0.0  # of an engine that answers for its health and gets nothing done
    first_token_s: float = 0.0  # to the first event of a stream
    between_tokens_s: float = 0.0  # from one event of a stream to the next
    normal_form: str = "NFC"  # that the tokenizer brings texts into; "": none
    launch: Mapping[str, Any] = field(default_factory=dict)  # a server of ours (launching.py)
    elastic: bool = False  # it takes requests only while its worker is there (registry/elastic.py)
    version: str = ""  # an answer is never begun by one version and gone on with by another
    id: str = ""  # the engine, as this installation calls it: a pool's name, or one beginning so
    seat: str = ""  # the engine whose place it took, and whose workers it has: see inference/pools
    from_file: bool = True  # FOREBAY_ENGINES names it: no operator has chosen its address

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", self.name)
        if not self.seat:
            object.__setattr__(self, "seat", self.id)


log = logging.getLogger(__name__)
LONGEST_ANSWER = 16 * 1024 * 1024  # bytes
LONGEST_RETRY_AFTER = 3600
LONGEST_UPSTREAM = 120  # characters, of a column of the audit trail
LONGEST_EVENT = 8 * 1024 * 1024  # bytes
PATHS = {True: "/v1/chat/completions", False: "/v1/completions"}  # as clients know them; True: chat
_TOO_LONG = re.compile(
    r"context (length|size|window).{0,80}(exceed|maximum|longer|only|too )"
    r"|(exceed|maximum|longer|larger|too long).{0,80}context",
    re.IGNORECASE | re.DOTALL,
)
_OUR_WORDS = "This model's maximum context length is "


class EngineFailed(Exception):
    """The engine said no, or nothing. `status` and `code` are what the client gets.

    `cause` is for operators, and never in the engine's own words: they may quote a prompt.
    """

    engines_fault = True  # unless it is the client's: see `counts`
    may_be_the_requests = True  # another one may do well
    was_asked = True  # it may have read the request
    opens_breaker = False  # at once, without others like it

    def __init__(self, status: int, code: str, message: str, *, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after = retry_after
        self.asked_to_wait = 0  # seconds, by the engine
        self.cause = code

    @property
    def counts(self) -> bool:
        """Whether it tells against the engine: its breaker counts it, another engine may do."""
        return self.engines_fault and self.status >= 500


class EngineAway(EngineFailed):
    """No connection, or 503 while it loads: it has not begun, another try may work."""

    may_be_the_requests = False

    def __init__(self, message: str) -> None:
        super().__init__(503, "engine_unavailable", message, retry_after=2)


class EnginePaused(EngineAway):
    """Its breaker is open: it was not asked. `retry_after`: seconds until it may be."""

    engines_fault = False
    was_asked = False

    def __init__(self, retry_after: int) -> None:
        super().__init__("the engine is paused after repeated failures")
        self.retry_after = retry_after


class EngineFull(EngineAway):
    """429. A hosted service that says so again and again is left alone for a while."""

    def __init__(self, *, hosted: bool) -> None:
        super().__init__("the engine is full")
        self.code, self.retry_after = "server_overloaded", 1
        self.engines_fault = hosted


class NotOffered(EngineFailed):
    """It has no such path, or does not do what is asked there. Another engine may."""

    engines_fault = False

    def __init__(self, words: str = "") -> None:
        super().__init__(404, "not_offered", words)
        self.words = words  # the engine's own

    def name_path(self, *, chat: bool) -> None:
        """Says which path it was, and which one there may be, as clients know them."""
        self.message = f"the engine of this model does not serve POST {PATHS[chat]}"
        self.message += f": {self.words}" if self.words else f"; try POST {PATHS[not chat]}"


class AnswerBroken(EngineFailed):
    """It broke off. What may have killed one engine is sent to one other at most."""

    def __init__(self, message: str = "the engine broke off the answer") -> None:
        super().__init__(502, "engine_failed", message)
        self.cause = "it broke off an answer"


class WorkerLost(EngineFailed):
    """A worker of ours died: the engine has done nothing wrong."""

    engines_fault = False

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, "worker_lost", message)


class AnswerTooLong(EngineFailed):
    """It was generated, and costs what it cost."""

    engines_fault = False

    def __init__(self) -> None:
        what = f"the answer is longer than {LONGEST_ANSWER} bytes"
        super().__init__(
            502, "answer_too_long", f"{what}; ask for fewer tokens or logprobs, or for a stream"
        )


Turn = Callable[[int], Awaitable[object] | None]  # after so many events; None: now


def at_once(_came: int) -> None:
    """For who reads a single stream."""
    return


class Engine:
    """An OpenAI-compatible server. Kinds override what theirs does differently."""

    health_path = "/models"
    gets_on_within_s: ClassVar[float] = 2.0
    chat_path = "/chat/completions"
    text_path = "/completions"
    own_fields: ClassVar[Fields] = {}  # that this kind takes beyond OpenAI's
    own_chat_fields: ClassVar[Fields] = {}  # of a chat alone
    own_text_fields: ClassVar[Fields] = {}  # without a chat alone
    enforces: ClassVar[frozenset[str] | None] = None  # words of a schema; None: it says so itself
    can: ClassVar[Mapping[str, bool]] = {}  # whatever the model: see capabilities.py
    parts: ClassVar[tuple[str, ...]] = ("text", *MEDIA)  # of a message's content
    tool_types: ClassVar[tuple[str, ...]] = ()  # empty: any
    knows_refusals = False  # of an assistant; others read them as its text
    most_choices: ClassVar[int] = 2000  # at one place of a JSON schema
    most_readings: ClassVar[int | None] = None  # of one text by a schema; None: they cost nothing

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.base = config.url.rstrip("/")
        self.context_length = config.context_length  # tokens, prompt and answer together
        self._chat_fields = CHAT | self.own_fields | self.own_chat_fields
        self._text_fields = TEXT | self.own_fields | self.own_text_fields
        self.capabilities, self.template = Capabilities(), Template()
        self.computes_here = False  # on the processors that we run on (gathering.py)
        self._hears_of_traces = not config.hosted or settings.TRACES_HOSTED
        self.told_slots = 0  # 0: it has not said how many
        self.control_tokens: frozenset[str] = frozenset()  # of its model, as it says
        self.known: Mapping[str, bool] = {}  # capabilities of which somebody has said so
        self._form: Form | None = next((f for f in GROWTH if f == config.normal_form), None)
        self.learn({})
        self.learn_template(Template())

    def learn(self, told: Mapping[str, bool]) -> None:
        """What the engine says of its model; what the operator declares weighs more."""
        known = {**self.can, **told, **self.config.capabilities}
        self.known = {name: known[name] for name in NAMES if name in known}
        self.capabilities = Capabilities().but(known)

    def learn_context(self, told: int) -> None:
        """Tokens, as the engine says; fewer where fewer are declared."""
        if told > 0:
            self.context_length = min(told, self.config.context_length)

    def learn_slots(self, told: Any) -> None:
        """Answers at the same time, as the engine says."""
        if isinstance(told, int) and 0 < told <= MOST_SLOTS:
            self.told_slots = int(told)

    def learn_control_tokens(self, tokens: Iterable[Any]) -> None:
        self.control_tokens = frozenset(filter(control_tokens.usable, tokens))

    def learn_template(self, counted: Template) -> None:
        declared = self.config.template_tokens
        self.template = replace(counted, base=declared) if declared else counted

    @asynccontextmanager
    async def used(self, redis: RedisLink) -> AsyncGenerator["Engine"]:
        """The engine as one runner uses it."""
        yield self

    @asynccontextmanager
    async def foretold(self, redis: RedisLink) -> AsyncGenerator[None]:
        """While it is being loaded: its first runner finds ready what it would have to wait for."""
        yield

    async def probe(self, session: EngineSession) -> bool:
        """Asks the engine what its model can take, and learns it.

        False: nothing has been learnt yet, ask again soon. A kind that has no such question
        relies on what is declared.
        """
        return True

    async def answers(self, session: EngineSession) -> bool:
        """Whether it is there, and in no trouble. Raises ClientError or OSError where it is not."""
        async with self._http(session).get(
            self.health_url, headers=self.headers(), allow_redirects=False
        ) as response:
            return response.status < 500

    async def gets_on(self, session: EngineSession) -> bool:
        """Whether it is not frozen, asked while requests wait for it; for as long as
        `gets_on_within_s`. Raises like `answers`.
        """
        return await self.answers(session)

    async def progress(self, session: EngineSession) -> Progress | None:
        """How far it is with its work, by its own figures; None where it has none. Raises like
        `answers`.
        """
        if not self.metrics_url:
            return None
        async with self._http(session).get(
            self.metrics_url, headers=self.headers(), allow_redirects=False
        ) as response:
            if response.status != 200:
                return None
            text = (await reading.whole(response)).decode(errors="replace")
            return progress.read(self.config.kind, text)

    @property
    def metrics_url(self) -> str:
        """Of its metrics in Prometheus' format; "" for a kind that has none."""
        return ""

    @property
    def health_url(self) -> str:
        return self.base + self.health_path

    async def load(self, session: EngineSession) -> Load | None:
        """How busy it says it is; None for a kind that does not say. Raises like `answers`."""
        return None

    @property
    def upstream(self) -> str:
        """As the record names it."""
        return _upstream(self.config)

    def shown_cause(self, cause: str) -> str:
        """Returns what operators read about a failure; the log has the cause itself."""
        return cause if self.config.from_file else without_ports(cause)

    @property
    def cache_is_private(self) -> bool:
        """Whether no tenant's prompt is served from what another tenant's left in the cache."""
        return self.config.private_cache

    def tells_cache(self, order: Order) -> bool:
        """Whether who asked may know how much of the prompt was cached."""
        return self.cache_is_private

    def prompt_bound(self, body: bytes, *, chat: bool) -> int:
        """The most tokens that the prompt of a prepared body can be."""
        return prompt_bound(body, self.template if chat else None, self._form)

    def fields(self, *, chat: bool) -> Fields:
        """What reaches the engine; nothing else does."""
        return self._chat_fields if chat else self._text_fields

    def prepare(self, body: dict[str, Any], *, chat: bool) -> dict[str, Any]:
        """The engine's body for a validated one: its own model name, usage always counted."""
        for name in body.keys() - self.fields(chat=chat).keys():
            del body[name]
        body["model"] = self.config.model
        if (limit := body.pop("max_completion_tokens", None)) is not None:
            body["max_tokens"] = limit
        if body.get("stream"):
            body["stream_options"] = {"include_usage": True}
        return body

    @property
    def body_form(self) -> str:
        """A body that was prepared for an engine with the same form needs nothing more."""
        return f"{self.config.kind} {self.config.model}"

    def adopted(self, order: Order) -> Order:
        """An order that was prepared for an engine with another form of bodies."""
        body = self.prepare(orjson.loads(order.body), chat=order.chat)
        return msgspec.structs.replace(order, body=orjson.dumps(body))

    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.config.api_key:
            headers["Authorization"] = f"Bearer {self.config.api_key}"
        return headers

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        """The whole JSON answer."""
        try:
            async with self._post(session, order) as answer:
                body = await _whole(answer)
        except NoConnection as problem:
            raise away(problem) from None
        except BrokenOff as problem:
            raise broken_off(problem) from None
        self._check(answer.status, answer.headers, body, chat=order.chat)
        return body

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = at_once
    ) -> AsyncGenerator[list[bytes]]:
        """Complete SSE events (without their blank line), as many as came at once.

        Between them nothing is read from the engine until it is our `turn`.
        """
        try:
            async with self._post(session, order) as answer:
                if answer.status != 200:
                    body = await _whole(answer)
                    self._check(answer.status, answer.headers, body, chat=order.chat)
                rest, said = b"", 0
                while data := await answer.piece():
                    rest += data
                    if b"\r" in rest:  # sse-starlette ends its lines with CRLF
                        rest = rest.replace(b"\r\n", b"\n")
                    *events, rest = rest.split(b"\n\n")
                    if events:
                        yield events
                        said += len(events)
                        if self.computes_here and said >= AT_ONCE:
                            answer.join(session.gathering)
                        elif wait := turn(len(events)):
                            await _not_reading(answer, wait)
                    elif len(rest) > LONGEST_EVENT:
                        raise EngineFailed(502, "engine_failed", "the engine sent no events")
                if rest.strip():
                    yield [rest]
        except NoConnection as problem:
            raise away(problem) from None
        except BrokenOff as problem:
            raise broken_off(problem) from None

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        """The body that makes the engine go on after `text` (its first `tokens` tokens).

        None when this kind of engine, or this request, cannot be taken up in the middle.
        """
        return None

    def keeps_course(self, order: Order) -> bool:
        """Whether an answer can be stopped, and taken up later as if nothing had happened.

        Not a hosted service's: it wants the prompt to be paid again.
        """
        here = not self.config.hosted and taking_up.keeps_course(order)
        return here and self.continued(order, "so far", 1) is not None

    async def count_prompt(self, session: EngineSession, order: Order) -> int:
        """Tokens of the prompt, for an answer that was cut before the engine could say."""
        return self.estimate_prompt(order)

    def estimate_prompt(self, order: Order) -> int:
        """Tokens, without asking anybody."""
        return max(1, len(order.body) // 4)

    def outgoing(self, order: Order) -> bytes:
        """The body on the wire: the recorded one, and what only this server needs to know."""
        return order.body

    def _post(self, session: EngineSession, order: Order) -> AbstractAsyncContextManager[Answer]:
        traced = header_lines() if self._hears_of_traces else b""
        endpoint, body, hosted = self.endpoint(order), self.outgoing(order), self.config.hosted
        return session.post(endpoint, body, self.headers(), traced, hosted=hosted)

    def _http(self, session: EngineSession) -> aiohttp.ClientSession:
        return session.http(hosted=self.config.hosted)

    def endpoint(self, order: Order) -> str:
        return self.base + (self.chat_path if order.chat else self.text_path)

    def _check(
        self, status: int, headers: Mapping[str, str], body: bytes, *, chat: bool = True
    ) -> None:
        """Raises EngineFailed for what is no answer; header names are in lower case."""
        if status == 200:
            return
        failure = self.refusal(status, body)
        failure.cause = f"it answered {status}"
        failure.asked_to_wait = retry_after(headers)
        if failure.retry_after:  # the engine knows better than we do
            failure.retry_after = failure.asked_to_wait or failure.retry_after
        if isinstance(failure, NotOffered):
            failure.name_path(chat=chat)
        raise failure

    def refusal(self, status: int, body: bytes) -> EngineFailed:
        """What an error answer of the engine means for the client."""
        error = error_in(body)
        message = str(error.get("message") or "the engine refused the request")
        means = meaning(status, error)
        if means is Meaning.AWAY:
            return self._away(status, message)
        if _TOO_LONG.search(message):
            return EngineFailed(400, "context_length_exceeded", self._too_long(message, error))
        if means is Meaning.CLIENTS:
            return EngineFailed(400, "invalid_request", message)
        if means is Meaning.NOT_OFFERED:
            return NotOffered(str(error.get("message") or "") if status == 501 else "")
        if means is Meaning.FULL:
            return EngineFull(hosted=self.config.hosted)
        if means is Meaning.ACCOUNT:
            return self._no_account(status)
        return EngineFailed(502, "engine_failed", f"the engine answered {status}")

    def _away(self, status: int, message: str) -> EngineAway:
        failure = EngineAway(message if status == 503 else "the engine is not ready")
        failure.may_be_the_requests = status < 500
        return failure

    def _no_account(self, status: int) -> EngineFailed:
        """Reports account errors as ours, without exposing the account."""
        what = "hosted service" if self.config.hosted else "engine"
        log.error("ALERT engine:account %s: the %s answers %d", self.config.id, what, status)
        message = f"the {what} does not serve this installation at the moment"
        return EngineFailed(503, "engine_unavailable", message, retry_after=60)

    def _too_long(self, message: str, error: dict[str, Any]) -> str:
        """In OpenAI's words, which frameworks look for; with the engine's own where it has any."""
        if message.startswith(_OUR_WORDS):
            return message
        used, context = error.get("n_prompt_tokens"), error.get("n_ctx")
        if isinstance(used, int) and isinstance(context, int):
            return context_exceeded(context, used)
        return f"{context_exceeded(self.context_length)} ({message})"

    def broken(self, event: bytes) -> EngineFailed:
        """What an error in mid-stream means: `data: {"error": …}` without its `data:`."""
        error = error_in(event)
        code = error.get("code")
        if isinstance(code, int) and meaning(code, error) in (Meaning.CLIENTS, Meaning.FULL):
            return self.refusal(code, event)
        return self.refusal(502, event)


def _upstream(config: EngineConfig) -> str:
    """Returns kind, version and host; a blank before the host says that it is hosted.

    Of a host that is too long the end stays: it says whose it is.
    """
    host = urlsplit(config.url).hostname or ""
    if config.hosted:
        name = f"{config.kind} "
    else:
        name = f"{config.kind}@{config.version}/" if config.version else f"{config.kind}/"
    room = LONGEST_UPSTREAM - len(name)
    return name + (host if len(host) <= room else f"…{host[1 - room :]}")


def context_exceeded(context: int, used: int | None = None, what: str = "messages") -> str:
    """OpenAI's words for a prompt that does not fit: many programs look for them."""
    result = f"{what} resulted in {used} tokens" if used else f"{what} are longer"
    if what == "prompt" and not used:
        result = "prompt is longer"
    return (
        f"{_OUR_WORDS}{context} tokens. However, your {result}. "
        f"Please reduce the length of the {what}."
    )


def retry_after(headers: Mapping[str, str]) -> int:
    """Seconds, at least 1 and at most LONGEST_RETRY_AFTER; 0 where the engine says none."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdecimal():
        seconds = float(said)
    else:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0
    return max(1, math.ceil(min(seconds, LONGEST_RETRY_AFTER)))


async def _whole(answer: Answer) -> bytes:
    """Raises AnswerTooLong, BrokenOff."""
    pieces, length = list[bytes](), 0
    while piece := await answer.piece():
        length += len(piece)
        if length > LONGEST_ANSWER:
            raise AnswerTooLong
        pieces.append(piece)
    return b"".join(pieces)


async def _not_reading(answer: Answer, wait: Awaitable[object]) -> None:
    answer.pause()
    try:
        await wait
    finally:
        answer.resume()


def away(problem: Exception) -> EngineAway:
    log.warning("the engine does not respond: %s", problem)  # its address is not for clients
    failure = EngineAway("the engine does not answer")
    failure.cause, failure.was_asked = str(problem), False
    return failure


def broken_off(problem: Exception) -> EngineFailed:
    """Also where nothing has come yet."""
    log.warning("the engine ended an answer early: %s", problem)
    return AnswerBroken()


def error_in(body: bytes) -> dict[str, Any]:
    """The error object of an answer; {} where it has none."""
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    error = found.get("error", found.get("detail"))  # FastAPI's word
    if error is None:
        return found if "message" in found else {}  # SGLang's and others' are bare
    if isinstance(error, list):  # of fields, by pydantic
        error = "; ".join(_field_error(one) for one in error[:3] if isinstance(one, dict))
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _field_error(error: dict[str, Any]) -> str:
    """Says where and what, and leaves out the value: it may be a prompt."""
    where = error.get("loc")
    names = [str(name) for name in where if name != "body"] if isinstance(where, list) else []
    return f"{'.'.join(names) or 'body'}: {error.get('msg') or 'invalid'}"
