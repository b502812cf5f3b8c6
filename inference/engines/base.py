"""The contract of an engine kind: how to send it requests, and how to read its answers.

One kind, one file, found by the dict KINDS in `engines/__init__.py`.
"""

import logging
import math
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson
from django.conf import settings

from inference import engine_progress
from inference.engine_entries import MOST_SLOTS, SLOTS
from inference.engine_progress import EngineProgress
from inference.engines import continuation, load
from inference.engines.capabilities import MEDIA, NAMES, Capabilities
from inference.engines.fields import CHAT, OF_TASK, TEXT, Fields
from inference.engines.inputs import prompt_tokens_bound
from inference.engines.load import Load, LoadMetrics
from inference.engines.prompt_bound import GROWTH, Form, Template, prompt_bound
from inference.engines.scoring import Scoring
from inference.engines.statuses import Meaning, meaning
from inference.engines.transport.batched_reading import ALONE_EVENTS
from inference.engines.transport.connection import BrokenOff, EngineResponse, NoConnection
from inference.engines.transport.failure_reason import without_ports
from inference.engines.transport.session import CONNECT_S, EngineSession, report_in
from inference.order import EMBED, RERANK, Order, OrderAdapter
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
    api_key: str = field(default="", repr=False)  # plain, or `sealed:` (seal_secret)
    slots: int = SLOTS
    auto_slots: bool = False  # `slots` follow the engine's own number
    context_length: int = 8192  # tokens, prompt and answer together
    hosted: bool = False  # on a machine of others: not for tenants that are local-only
    created: int = 0  # Unix time, for GET /v1/models; 0: when Forebay was installed
    private_cache: bool = False  # the operator's word that tenants do not share its prompt cache
    capabilities: Mapping[str, bool] = field(default_factory=dict)  # beyond those known here
    template_tokens: int = 0  # of the chat template's own words; 0: as the engine counts them
    priority_scheduling: bool = False  # vLLM was started with --scheduling-policy priority
    silence_s: float = SILENCE_S  # without an answer for its health, until requests are given up
    # Seconds; 0: the defaults (worker/stalls.py).
    stall_s: float = 0.0  # without progress, of an engine that answers for its health
    first_token_s: float = 0.0  # to the first event of a stream
    between_tokens_s: float = 0.0  # from one event of a stream to the next
    normal_form: str = "NFC"  # into which the tokenizer brings texts; "": none
    # of a server that Forebay starts: inference/engine_launch.py
    launch: Mapping[str, Any] = field(default_factory=dict)
    gpus: list[int | str] = field(default_factory=list)  # of its server: NVML's indices or UUIDs
    # LoRA adapters (docs/models/adapters.md): versions that a llama.cpp loads at its start; whether
    # a vLLM loads them while it runs, and the folder of FOREBAY_ADAPTERS as it sees it.
    adapters: list[str] = field(default_factory=list)
    loads_adapters: bool = False
    adapters_folder: str = ""
    sleeps: bool = False  # a vLLM in sleep mode, which can lend its GPU (lending/sleep_mode.py)
    elastic: bool = False  # it takes requests only while its worker is there (registry/elastic.py)
    version: str = ""  # an answer is never continued by another version
    # {"version": its own, "of": another's}: in `version` it differs by its adapters alone
    same_as: Mapping[str, str] = field(default_factory=dict)
    id: str = ""  # the engine's own name: its pool's, or one that begins with it
    # the engine that it replaced, and whose workers it has: inference/engine_entries.py
    seat: str = ""
    from_file: bool = True  # FOREBAY_ENGINES names it: no operator has chosen its address

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", self.name)
        if not self.seat:
            object.__setattr__(self, "seat", self.id)


log = logging.getLogger(__name__)
LONGEST_ANSWER = 16 * 1024 * 1024  # bytes
LONGEST_ERROR = 1024 * 1024  # bytes that are read of one
LONGEST_RETRY_AFTER = 3600
LONGEST_UPSTREAM = 120  # characters, of a column of the audit trail
LONGEST_EVENT = 8 * 1024 * 1024  # bytes
REPORT_S = 5.0  # for an engine's report of itself
# Causes of an answer that teaches nothing; another one may come later.
UNREADABLE = (aiohttp.ClientResponseError, LookupError, ValueError, TypeError, AttributeError)
PATHS = {  # as clients know them, by the order's form
    "chat": "/v1/chat/completions",
    "text": "/v1/completions",
    EMBED: "/v1/embeddings",
    RERANK: "/v1/rerank",
}
_INSTEAD = {"chat": "text", "text": "chat"}  # forms of which an engine may have the other one
# A small question of each task, and the field of its answer.
_QUESTIONS: dict[str, tuple[dict[str, Any], str]] = {
    EMBED: ({"input": "a"}, "data"),
    RERANK: ({"query": "a", "documents": ["a"]}, "results"),
}
_SAYS_NOTHING = frozenset({401, 403, 408, 429, 502, 503, 504})
_TOO_LONG = re.compile(
    r"context (length|size|window).{0,80}(exceed|maximum|longer|only|too )"
    r"|(exceed|maximum|longer|larger|too long).{0,80}context",
    re.IGNORECASE | re.DOTALL,
)
_OUR_WORDS = "This model's maximum context length is "


class EngineFailed(Exception):
    """The engine refused or failed. `status` and `code` are what the client gets.

    `cause` is for operators, and never in the engine's own words: they may quote a prompt.
    """

    engines_fault = True  # false: the client's or nobody's, see `counts`
    may_be_the_requests = True  # the engine may answer other requests
    was_asked = True  # it may have received the request
    opens_breaker = False  # a single such failure does

    def __init__(self, status: int, code: str, message: str, *, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after = retry_after
        self.asked_to_wait = 0  # seconds, by the engine
        self.cause = code

    @property
    def counts(self) -> bool:
        """Returns whether its breaker counts it, and another engine may be tried."""
        return self.engines_fault and self.status >= 500


class EngineAway(EngineFailed):
    """No connection, or 503 during loading: the request has not begun, and may be tried again."""

    may_be_the_requests = False

    def __init__(self, message: str) -> None:
        super().__init__(503, "engine_unavailable", message, retry_after=2)


class EnginePaused(EngineAway):
    """The engine's breaker is open, so it was not asked; `retry_after` is in seconds."""

    engines_fault = False
    was_asked = False

    def __init__(self, retry_after: int) -> None:
        super().__init__("the engine is paused after repeated failures")
        self.retry_after = retry_after


class EngineFull(EngineAway):
    """The engine answered 429. A hosted service that repeats it is paused for a while."""

    def __init__(self, *, hosted: bool) -> None:
        super().__init__("the engine is full")
        self.code, self.retry_after = "server_overloaded", 1
        self.engines_fault = hosted


class NotOffered(EngineFailed):
    """The engine has no such path, or does not offer that feature. Another engine may."""

    engines_fault = False

    def __init__(self, words: str = "") -> None:
        super().__init__(404, "not_offered", words)
        self.words = words  # the engine's own

    def name_path(self, form: str) -> None:
        """Name the path in the message, and what to do instead, as clients know them."""
        self.message = f"the engine of this model does not serve POST {PATHS[form]}"
        if other := _INSTEAD.get(form):
            self.message += f": {self.words}" if self.words else f"; try POST {PATHS[other]}"
        else:
            self.message += "; GET /v1/models says what each model is for"


class AdapterMissing(NotOffered):
    """The engine does not have the request's adapter in its version. Another engine may."""

    def __init__(self) -> None:
        super().__init__()
        self.status, self.code, self.retry_after = 503, "adapter_unavailable", 2
        self.message = "no engine has this adapter at the moment; send the request again"

    def name_path(self, form: str) -> None:
        """Keep the message: the path is not at fault."""


class AnswerBroken(EngineFailed):
    """The answer broke off. Its request is sent to one other engine at most: it may be fatal."""

    def __init__(self, message: str = "the engine broke off the answer") -> None:
        super().__init__(502, "engine_failed", message)
        self.cause = "it broke off an answer"


class WorkerLost(EngineFailed):
    """A worker of this platform died. The engine is not at fault."""

    engines_fault = False

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, "worker_lost", message)


class AnswerTooLong(EngineFailed):
    """The answer is too long to deliver. It was generated, so it is paid for."""

    engines_fault = False

    def __init__(self) -> None:
        advice = "ask for fewer tokens or logprobs, or for a stream"
        what = f"the answer is longer than {LONGEST_ANSWER} bytes; {advice}"
        super().__init__(502, "answer_too_long", what)


class BadToken(Exception):
    """A number that is no token of the model."""


# Called with the number of events; None: read on now.
Turn = Callable[[int], Awaitable[object] | None]


def read_on(_events: int) -> None:
    """The turn of a reader with a single stream."""
    return


class Engine:
    """An OpenAI-compatible server. Each kind overrides the parts in which it differs."""

    health_path = "/models"
    models_path = "/models"
    alive_within_s: ClassVar[float] = 2.0
    chat_path = "/chat/completions"
    text_path = "/completions"
    task_paths: ClassVar[Mapping[str, str]] = {EMBED: "/embeddings", RERANK: "/rerank"}
    metrics: ClassVar[LoadMetrics | None] = None  # of its Prometheus metrics, if it has some
    own_fields: ClassVar[Fields] = {}  # fields of this kind beyond OpenAI's
    own_chat_fields: ClassVar[Fields] = {}  # for chats only
    own_text_fields: ClassVar[Fields] = {}  # for completions only
    enforces: ClassVar[frozenset[str] | None] = None  # of a schema; None: it refuses others itself
    can: ClassVar[Mapping[str, bool]] = {}  # with any model: see capabilities.py
    parts: ClassVar[tuple[str, ...]] = ("text", *MEDIA)  # of a message's content
    tool_types: ClassVar[tuple[str, ...]] = ()  # empty: any
    reads_reasoning = True  # an assistant's `reasoning_content`
    knows_refusals = False  # refusal parts of an assistant; others get them as text
    scores_texts = False  # `scoring` says how likely given texts are
    makes_choices: bool = False  # `n` answers to one prompt: see `makes_together`
    tokenizes: ClassVar[frozenset[str]] = frozenset()  # "text", "chat": see `tokens_of`
    most_choices: ClassVar[int] = 2000  # at one place of a JSON schema
    most_readings: ClassVar[int | None] = None  # of one text by a schema; None: they cost nothing

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.base = config.url.rstrip("/")
        self.root = self.base.removesuffix("/v1")  # of the paths that are not OpenAI's
        self.context_length = config.context_length  # tokens, prompt and answer together
        self._chat_fields = CHAT | self.own_fields | self.own_chat_fields
        self._text_fields = TEXT | self.own_fields | self.own_text_fields
        self.capabilities, self.template = Capabilities(), Template()
        # True: on this machine's processors (engines/transport/batched_reading.py)
        self.computes_here = False
        self._gets_trace_headers = not config.hosted or settings.TRACES_HOSTED
        self.reported_slots = 0  # 0: it has not reported any
        self.control_tokens: frozenset[str] = frozenset()  # of its model, as it reports them
        self.known: Mapping[str, bool] = {}  # capabilities that are declared or reported
        self._form: Form | None = next((f for f in GROWTH if f == config.normal_form), None)
        self.learn({})
        self.learn_template(Template())

    def learn(self, reported: Mapping[str, bool]) -> None:
        """Take over reported capabilities. Those that the operator declares prevail."""
        known = {**self.can, **reported, **self.config.capabilities}
        self.known = {name: known[name] for name in NAMES if name in known}
        self.capabilities = Capabilities(**known)

    def learn_context(self, length: int) -> None:
        """Take over a reported context length in tokens. A smaller declared one prevails."""
        if length > 0:
            self.context_length = min(length, self.config.context_length)

    def learn_slots(self, count: Any) -> None:
        """Take over a reported number of simultaneous answers."""
        if isinstance(count, int) and 0 < count <= MOST_SLOTS:
            self.reported_slots = int(count)

    def learn_control_tokens(self, tokens: Iterable[Any]) -> None:
        self.control_tokens = frozenset(filter(control_tokens.usable, tokens))

    def learn_template(self, counted: Template) -> None:
        declared = self.config.template_tokens
        self.template = replace(counted, base=declared) if declared else counted

    @asynccontextmanager
    async def used(self, redis: RedisLink) -> AsyncGenerator["Engine"]:
        """Yields the engine as one runner uses it."""
        yield self

    @asynccontextmanager
    async def announced(self, redis: RedisLink) -> AsyncGenerator[None]:
        """Prepare the engine's first runner during loading, so that it need not wait."""
        yield

    async def probe(self, session: EngineSession) -> bool:
        """Ask the engine for its model's capabilities and learn them.

        Returns False if it has learnt nothing yet: ask again soon. A kind without such a question
        relies on declared capabilities.
        """
        return True

    async def answers(self, session: EngineSession) -> bool:
        """Returns whether it responds without a server error. Raises ClientError, OSError."""
        return await self._responds(session, self.health_url)

    async def is_alive(self, session: EngineSession) -> bool:
        """Returns whether it is not frozen, within `alive_within_s`. Raises like `answers`.

        It is asked while requests wait for the engine.
        """
        return await self.answers(session)

    async def progress(self, session: EngineSession) -> EngineProgress | None:
        """Returns its progress by its own metrics; None if it has none. Raises like `answers`."""
        text = await self._metrics_text(session)
        return None if text is None else engine_progress.read(self.config.kind, text)

    async def load(self, session: EngineSession) -> Load | None:
        """Returns its load by its own metrics; None if it has none.

        Raises like `answers`, and ValueError or OverflowError for bad figures.
        """
        text = await self._metrics_text(session)
        return load.read(text, self.metrics) if text is not None and self.metrics else None

    @property
    def health_url(self) -> str:
        return self.base + self.health_path

    async def model_list(self, session: EngineSession) -> tuple[int, bytes]:
        """Returns status and body of its list of models. Raises ClientError, TimeoutError."""
        url = self.base + self.models_path
        async with self._asking(session, url, within_s=REPORT_S) as response:
            return response.status, await report_in(response)

    # Occasional questions -------------------------------------------------------------------------
    async def _responds(self, session: EngineSession, url: str) -> bool:
        async with self._asking(session, url) as response:
            return response.status < 500

    async def _metrics_text(self, session: EngineSession) -> str | None:
        if self.metrics is None:
            return None
        async with self._asking(session, self.root + "/metrics", within_s=REPORT_S) as response:
            if response.status != 200:
                return None
            return (await report_in(response)).decode(errors="replace")

    async def _report(self, session: EngineSession, url: str, body: Any = None) -> Any:
        """Returns the JSON of its answer. Raises ClientError, TimeoutError, ValueError."""
        async with self._asking(session, url, body, within_s=REPORT_S) as response:
            response.raise_for_status()
            return orjson.loads(await report_in(response))

    async def _does(self, session: EngineSession, task: str) -> bool:
        """Returns whether it does a task, by a question of one letter.

        Raises ClientError, TimeoutError where the answer says nothing about that.
        """
        question, field = _QUESTIONS[task]
        url, body = self.base + self.task_paths[task], {"model": self.config.model, **question}
        async with self._asking(session, url, body, REPORT_S) as response:
            if response.status in _SAYS_NOTHING:
                response.raise_for_status()
            with suppress(ValueError):
                answer = orjson.loads(await report_in(response))
                return response.status == 200 and bool(
                    isinstance(answer, dict) and answer.get(field)
                )
        return False

    def _asking(
        self, session: EngineSession, url: str, body: Any = None, within_s: float | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Returns a context of its answer. A body is posted."""
        return session.http(hosted=self.config.hosted).request(
            "GET" if body is None else "POST",
            url,
            json=body,
            headers=self.headers(),
            timeout=aiohttp.ClientTimeout(total=within_s, connect=CONNECT_S),
            allow_redirects=False,  # a prompt goes nowhere else
        )

    @property
    def upstream(self) -> str:
        """Returns its name in the audit trail: kind, version and host.

        A space before the host marks a hosted engine. A host that is too long loses its beginning:
        the end names its owner.
        """
        config, host = self.config, urlsplit(self.config.url).hostname or ""
        version = f"@{config.version}" if config.version else ""
        name = f"{config.kind} " if config.hosted else f"{config.kind}{version}/"
        room = LONGEST_UPSTREAM - len(name)
        return name + (host if len(host) <= room else f"…{host[1 - room :]}")

    def shown_cause(self, cause: str) -> str:
        """Returns the cause of a failure for operators; the log has the full text."""
        return cause if self.config.from_file else without_ports(cause)

    @property
    def cache_is_private(self) -> bool:
        """Returns whether prompts are never served from another tenant's part of the cache."""
        return self.config.private_cache

    def tells_cache(self, order: Order) -> bool:
        """Returns whether the caller may know how much of the prompt was cached."""
        return self.cache_is_private

    def prompt_bound(self, body: bytes, *, chat: bool) -> int:
        """Returns the most tokens that the prompt of a prepared body can be."""
        return prompt_bound(body, self.template if chat else None, self._form)

    def fields(self, *, chat: bool) -> Fields:
        """Returns the fields that reach the engine. All others are dropped."""
        return self._chat_fields if chat else self._text_fields

    def prepare(self, body: dict[str, Any], *, chat: bool) -> dict[str, Any]:
        """Turn a validated body into the engine's: its model name, and usage in streams."""
        for name in body.keys() - self.fields(chat=chat).keys():
            del body[name]
        body["model"] = self.config.model
        if (limit := body.pop("max_completion_tokens", None)) is not None:
            body["max_tokens"] = limit
        if body.get("stream"):
            body["stream_options"] = {"include_usage": True}
        return body

    def makes_together(self, body: dict[str, Any]) -> bool:
        """Returns whether it makes the `n` answers of a checked body at once."""
        return self.makes_choices

    def prepare_task(self, body: dict[str, Any], task: str) -> dict[str, Any]:
        """Turn a validated body of embeddings or a ranking into the engine's."""
        own = {name: body[name] for name in OF_TASK[task] if body.get(name) is not None}
        return own | {"model": self.config.model}

    def inputs_bound(self, body: dict[str, Any], task: str) -> int:
        """Returns the most tokens that the inputs of a task can be."""
        return prompt_tokens_bound(body, task, GROWTH[self._form] if self._form else 1)

    def serves_adapter(self, adapter: OrderAdapter) -> bool:
        """Returns whether requests with this adapter may be sent to it."""
        return False

    @property
    def body_form(self) -> str:
        """Returns the form of its bodies. Engines of the same form share prepared bodies."""
        return f"{self.config.kind} {self.config.model}"

    def adopted(self, order: Order) -> Order:
        """Prepare an order that was prepared for an engine of another form."""
        body = orjson.loads(order.body)
        if order.task:
            prepared = self.prepare_task(body, order.task)
        else:
            prepared = self.prepare(body, chat=order.chat)
        return msgspec.structs.replace(order, body=orjson.dumps(prepared))

    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.config.api_key:
            headers["Authorization"] = f"Bearer {self.config.api_key}"
        return headers

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        """Returns the whole JSON answer. Raises EngineFailed."""
        return await self._whole_body(self._post(session, order), order.form)

    async def ask(self, session: EngineSession, path: str, body: Any) -> Any:
        """Returns the JSON answer to a question of the platform's own. Raises EngineFailed."""
        url, hosted = self.root + path, self.config.hosted
        question = session.post(url, orjson.dumps(body), self.headers(), hosted=hosted)
        try:
            return orjson.loads(await self._whole_body(question, "text"))
        except orjson.JSONDecodeError:
            raise EngineFailed(502, "engine_failed", "the engine sent no JSON") from None

    async def _whole_body(
        self, question: AbstractAsyncContextManager[EngineResponse], form: str
    ) -> bytes:
        try:
            async with question as answer:
                body = await _whole(answer)
        except NoConnection as problem:
            raise away(problem) from None
        except BrokenOff as problem:
            raise broken_off(problem) from None
        self._check(answer.status, answer.headers, body, form)
        return body

    def scoring(self, session: EngineSession, order: Order) -> AbstractAsyncContextManager[Scoring]:
        """Returns the use of the engine to score one item's texts. Raises NotOffered."""
        raise NotOffered("it does not say how likely a given text is")

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        """Yields complete SSE events without their blank line, as many as arrived together.

        Between them nothing is read from the engine until it is this stream's `turn`.
        """
        try:
            async with self._post(session, order) as answer:
                if answer.status != 200:
                    body = await _whole(answer)
                    self._check(answer.status, answer.headers, body, order.form)
                rest, event_count = b"", 0
                while data := await answer.piece():
                    rest += data
                    if b"\r" in rest:  # sse-starlette ends its lines with CRLF
                        rest = rest.replace(b"\r\n", b"\n")
                    *events, rest = rest.split(b"\n\n")
                    if events:
                        yield events
                        event_count += len(events)
                        if self.computes_here and event_count >= ALONE_EVENTS:
                            answer.join(session.gathering)
                        elif wait := turn(len(events)):
                            await _pause_reading(answer, wait)
                    elif len(rest) > LONGEST_EVENT:
                        raise EngineFailed(502, "engine_failed", "the engine sent no events")
                if rest.strip():
                    yield [rest]
        except NoConnection as problem:
            raise away(problem) from None
        except BrokenOff as problem:
            raise broken_off(problem) from None

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        """Returns the body that continues after `text`, which is the first `tokens` tokens.

        None if this kind of engine, or this request, cannot be resumed in the middle.
        """
        return None

    def resumes_unchanged(self, order: Order) -> bool:
        """Returns whether an answer can be stopped and resumed with the same text.

        False for a hosted service, where the prompt would be paid twice.
        """
        resumable = not self.config.hosted and continuation.resumes_unchanged(order)
        return resumable and self.continued(order, "so far", 1) is not None

    async def count_prompt(self, session: EngineSession, order: Order) -> int:
        """Returns the prompt's tokens, for an answer that was cut before they were reported."""
        return self.estimate_prompt(order)

    def estimate_prompt(self, order: Order) -> int:
        """Returns the tokens of the prompt, estimated without the engine."""
        return max(1, len(order.body) // 4)

    async def count_chat(self, session: EngineSession, body: dict[str, Any]) -> int | None:
        """Returns the tokens of a chat's prompt, by its own tokenizer and template.

        None for a kind that has no such question. Raises ClientError, TimeoutError, and UNREADABLE.
        """
        return None

    async def tokens_of(
        self, session: EngineSession, body: dict[str, Any], *, chat: bool, special: bool
    ) -> list[int]:
        """Returns the tokens of a prepared body's prompt, for a kind that `tokenizes` such ones.

        `special`: with those that the model wants around a text. Raises as `count_chat`.
        """
        raise NotImplementedError

    async def text_of(self, session: EngineSession, tokens: list[int]) -> str:
        """Returns the text of tokens. Raises BadToken, and as `count_chat`."""
        raise NotImplementedError

    def thinking(self, *, on: bool, budget: int | None) -> dict[str, Any]:
        """Returns the fields of a chat that turn its model's thinking on or off.

        `budget` is in tokens, None without one.
        """
        arguments: dict[str, Any] = {"enable_thinking": on, "thinking": on}
        if budget:
            arguments["thinking_budget"] = budget
        return {"chat_template_kwargs": arguments}

    def outgoing(self, order: Order) -> bytes:
        """Returns the body on the wire: the recorded one, with fields for this server alone."""
        return order.body

    def _post(
        self, session: EngineSession, order: Order
    ) -> AbstractAsyncContextManager[EngineResponse]:
        traced = header_lines() if self._gets_trace_headers else b""
        endpoint, body, hosted = self.endpoint(order), self.outgoing(order), self.config.hosted
        return session.post(endpoint, body, self.headers(), traced, hosted=hosted)

    def endpoint(self, order: Order) -> str:
        if order.task:
            return self.base + self.task_paths[order.task]
        return self.base + (self.chat_path if order.chat else self.text_path)

    def _check(
        self, status: int, headers: Mapping[str, str], body: bytes, form: str = "chat"
    ) -> None:
        """Raises EngineFailed for any status but 200. Header names are in lower case."""
        if status == 200:
            return
        failure = self.refusal(status, body)
        failure.cause = f"it answered {status}"
        failure.asked_to_wait = retry_after(headers)
        if failure.retry_after:  # the engine's own time is the better one
            failure.retry_after = failure.asked_to_wait or failure.retry_after
        if isinstance(failure, NotOffered):
            failure.name_path(form)
        raise failure

    def refusal(self, status: int, body: bytes) -> EngineFailed:
        """Returns the failure that an error answer of the engine means for the client."""
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

    def explained(self, failure: EngineFailed, order: Order) -> EngineFailed:
        """Returns the failure, or the client's mistake that is behind it."""
        return failure

    def _away(self, status: int, message: str) -> EngineAway:
        failure = EngineAway(message if status == 503 else "the engine is not ready")
        failure.may_be_the_requests = status < 500
        return failure

    def _no_account(self, status: int) -> EngineFailed:
        """Report account errors as the platform's, without exposing the account."""
        what = "hosted service" if self.config.hosted else "engine"
        log.error("ALERT engine:account %s: the %s answers %d", self.config.id, what, status)
        message = f"the {what} does not serve this installation at the moment"
        return EngineFailed(503, "engine_unavailable", message, retry_after=60)

    def _too_long(self, message: str, error: dict[str, Any]) -> str:
        """Returns OpenAI's words, which frameworks look for, with the engine's own if any."""
        if message.startswith(_OUR_WORDS):
            return message
        used, context = error.get("n_prompt_tokens"), error.get("n_ctx")
        if isinstance(used, int) and isinstance(context, int):
            return context_exceeded(context, used)
        return f"{context_exceeded(self.context_length)} ({message})"

    def broken(self, event: bytes) -> EngineFailed:
        """Returns the failure that an error in mid-stream means. `event` has no `data:`."""
        error = error_in(event)
        code = error.get("code")
        if isinstance(code, int) and meaning(code, error) in (Meaning.CLIENTS, Meaning.FULL):
            return self.refusal(code, event)
        return self.refusal(502, event)


def context_exceeded(context: int, used: int | None = None, what: str = "messages") -> str:
    """Returns OpenAI's words for a prompt that does not fit: many programs look for them."""
    result = f"{what} resulted in {used} tokens" if used else f"{what} are longer"
    if what == "prompt" and not used:
        result = "prompt is longer"
    return (
        f"{_OUR_WORDS}{context} tokens. However, your {result}. "
        f"Please reduce the length of the {what}."
    )


def retry_after(headers: Mapping[str, str]) -> int:
    """Returns seconds from 1 to LONGEST_RETRY_AFTER; 0 if the engine names none."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0
    return max(1, math.ceil(min(seconds, LONGEST_RETRY_AFTER)))


async def _whole(answer: EngineResponse) -> bytes:
    """Read the whole answer, and the beginning of an error. Raises AnswerTooLong, BrokenOff."""
    pieces, length = list[bytes](), 0
    most = LONGEST_ANSWER if answer.status == 200 else LONGEST_ERROR
    while piece := await answer.piece():
        length += len(piece)
        if length > most and answer.status == 200:
            raise AnswerTooLong
        if length > most:  # its status says enough
            break
        pieces.append(piece)
    return b"".join(pieces)


async def _pause_reading(answer: EngineResponse, wait: Awaitable[object]) -> None:
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
    """Returns the failure of an answer that ended early, even before its first byte."""
    log.warning("the engine ended an answer early: %s", problem)
    return AnswerBroken()


def error_in(body: bytes) -> dict[str, Any]:
    """Returns the error object of an answer; {} if it has none."""
    try:
        answer = orjson.loads(body)
    except ValueError:
        return {}
    if not isinstance(answer, dict):
        return {}
    error = answer.get("error", answer.get("detail"))  # FastAPI's word
    if error is None:
        return answer if "message" in answer else {}  # SGLang's and others' are bare
    if isinstance(error, list):  # of fields, by pydantic
        error = "; ".join(_field_error(each) for each in error[:3] if isinstance(each, dict))
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _field_error(error: dict[str, Any]) -> str:
    """Returns the field and the message, without the value: it may be a prompt."""
    where = error.get("loc")
    names = [str(name) for name in where if name != "body"] if isinstance(where, list) else []
    return f"{'.'.join(names) or 'body'}: {error.get('msg') or 'invalid'}"
