"""One connection to Redis per process and loop, shared by all of its callers.

Commands given in the same tick of the loop leave in one write, and answers arrive in order, so that
under load a command costs little more than its bytes. Outside the hot path, redis-py is used.
"""

import asyncio
import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import hiredis
from redis.exceptions import RedisError

from infrastructure import outgoing_tls
from infrastructure.metrics import Histogram
from infrastructure.redis.servers import keep_alive, servers

Answer = Any
CONNECT_TIMEOUT_S = 2.0
USUAL_TIMEOUT_S = 5.0
ANSWERED = Histogram(
    "forebay_valkey_round_trip_seconds",
    "From a write to Valkey or Redis to its answer, of links that do not block on purpose",
    bounds=(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5),
).of()
# Errors of a Redis that cannot work now: it starts, is full, cannot save, or is a replica.
_OF_A_CLUSTER = ("CLUSTERDOWN", "TRYAGAIN", "ASK ")  # while slots move
NOT_NOW = ("LOADING", "OOM", "MISCONF", "READONLY", "MASTERDOWN", "BUSY ", *_OF_A_CLUSTER)


class RedisGone(Exception):
    """Redis did not accept the command, or did not answer; the command may have run all the
    same.
    """


class RedisFull(RedisGone):
    """Redis's memory is used up: it accepts only commands that free some."""


# Scripts with this first line run in a full Redis too (Redis 7): they store little, and running
# requests could not end without them.
TROUBLE = (RedisGone, hiredis.ReplyError)  # Redis is away, or loads, or is full
WHEN_FULL = "#!lua flags=allow-oom\n"


class Script(NamedTuple):
    sha: str
    text: str

    @classmethod
    def load(cls, path: Path, *, when_full: bool = False) -> "Script":
        return cls.of((WHEN_FULL if when_full else "") + path.read_text())

    @classmethod
    def of(cls, text: str) -> "Script":
        return cls(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text)


class Call(NamedTuple):
    """A call of a script."""

    script: Script
    keys: list[Any]
    arguments: tuple[Any, ...] | list[Any]

    @property
    def words(self) -> tuple[Any, ...]:
        return "EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.arguments


class _Several:
    """Collects the answers to commands that were sent together, in place of a single future."""

    __slots__ = ("_answers", "_future", "_outstanding")

    def __init__(self, count: int, future: asyncio.Future[list[Answer]]) -> None:
        self._answers: list[Answer] = []
        self._outstanding, self._future = count, future

    def done(self) -> bool:
        return self._future.done()

    def set_result(self, answer: Answer) -> None:
        self._answers.append(answer)
        self._outstanding -= 1
        if not self._outstanding:
            self._future.set_result(self._answers)

    def set_exception(self, problem: Exception) -> None:
        self._future.set_exception(problem)


class Shared:
    """One run of `work` at a time, for all who wait for it."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._running: asyncio.Future[None] | None = None

    async def __call__(self) -> None:
        if self._running is None:
            self._running = asyncio.ensure_future(self._work())
            self._running.add_done_callback(self._forget)
        await asyncio.shield(self._running)

    def _forget(self, done: asyncio.Future[None]) -> None:
        self._running = None
        if not done.cancelled():
            done.exception()  # marks it as retrieved, in case no caller waits any more


class RedisLink(asyncio.Protocol):
    """`timeout_s` bounds the wait for any answer; None for a link that blocks on purpose."""

    def __init__(self, url: str, *, timeout_s: float | None = USUAL_TIMEOUT_S) -> None:
        self._servers = servers(url)
        self._timeout_s = timeout_s
        self._is_timed = timeout_s is not None and timeout_s <= USUAL_TIMEOUT_S  # others block
        self._transport: asyncio.Transport | None = None
        self._connecting = Shared(self._connect)
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[Answer] | _Several, float]] = deque()
        self._outgoing: list[bytes] = []
        self._watchdog: asyncio.TimerHandle | None = None
        self._watched_at = 0.0
        self._closed = False
        self._greeted = False  # no command may be sent before the greeting is over

    # Commands ------------------------------------------------------------------------------------
    async def call(self, *words: Any) -> Answer:
        """Runs one command. Raises RedisGone, or hiredis.ReplyError for an error answer."""
        if not self._greeted:
            await self._connected()
        answer = await self._send(words)
        if isinstance(answer, hiredis.ReplyError):
            raise _gone(answer) or answer
        return answer

    async def run(self, script: Script, keys: list[Any], *arguments: Any) -> Answer:
        """Runs a script by its hash; its text is sent only if Redis does not know it (any more)."""
        if not self._greeted:
            await self._connected()
        call = Call(script, keys, arguments)
        answer = await self._send(call.words)
        if isinstance(answer, hiredis.ReplyError):
            return await self._with_its_text(call, answer)
        return answer

    async def run_all(self, calls: list[Call]) -> list[Answer]:
        """Runs several scripts in one write. Raises the first failure, after all have run."""
        if not self._greeted:
            await self._connected()
        answers = await self._send_all([call.words for call in calls])
        problems: list[Exception] = []
        for i, answer in enumerate(answers):
            if isinstance(answer, hiredis.ReplyError):
                try:
                    answers[i] = await self._with_its_text(calls[i], answer)
                except (RedisGone, hiredis.ReplyError) as problem:  # the others run all the same
                    problems.append(problem)
        if problems:
            raise problems[0]
        return answers

    async def _with_its_text(self, call: Call, refused: hiredis.ReplyError) -> Answer:
        """Runs the script once more by its text, if Redis did not know it."""
        if not str(refused).startswith("NOSCRIPT"):
            raise _gone(refused) or refused
        return await self.call(
            "EVAL", call.script.text, len(call.keys), *call.keys, *call.arguments
        )

    async def many(self, commands: list[tuple[Any, ...]]) -> list[Answer]:
        """Runs several commands in one write; error answers are in the list."""
        if not self._greeted:
            await self._connected()
        answers = await self._send_all(commands)
        for answer in answers:
            if isinstance(answer, hiredis.ReplyError) and (problem := _gone(answer)):
                raise problem
        return answers

    def close(self) -> None:
        self._closed = True
        if self._transport:
            self._transport.abort()
        if self._watchdog:
            self._watchdog.cancel()

    # Sending -------------------------------------------------------------------------------------
    def _send(self, words: tuple[Any, ...]) -> asyncio.Future[Answer]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._put((words,), answer, answer, loop)
        return answer

    def _send_all(self, commands: list[tuple[Any, ...]]) -> asyncio.Future[list[Answer]]:
        """Sends several commands, for less than the cost of a future for each."""
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[list[Answer]] = loop.create_future()
        if commands:
            self._put(commands, _Several(len(commands), answers), answers, loop)
        else:
            answers.set_result([])
        return answers

    def _put(
        self,
        commands: Sequence[tuple[Any, ...]],
        waits: "asyncio.Future[Answer] | _Several",
        future: asyncio.Future[Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Queues commands. `waits` receives the answer to each; `future` is the caller's."""
        if self._transport is None:
            return future.set_exception(RedisGone("the connection was lost"))
        if not self._outgoing:
            loop.call_soon(self._flush)
        now = time.monotonic()
        for words in commands:
            self._outgoing.append(hiredis.pack_command(words))
            self._waiting.append((waits, now))
        if self._watchdog is None and self._timeout_s:
            self._watched_at = now
            self._watchdog = loop.call_later(self._timeout_s / 4, self._watch)
        return None

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self._transport and outgoing:
            self._transport.write(b"".join(outgoing))

    # Connecting ----------------------------------------------------------------------------------
    async def _connected(self) -> None:
        if self._closed:
            raise RedisGone("this link is closed")
        await self._connecting()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(CONNECT_TIMEOUT_S, self._timeout_s or math.inf)):
                await self._open(loop)
                for words in self._greeting():
                    answer = await self._send(words)
                    if isinstance(answer, hiredis.ReplyError):
                        raise RedisGone(str(answer))
                if self._servers.sentinels:
                    await self._is_primary()
                if self._closed:
                    raise RedisGone("this link is closed")
        except (OSError, TimeoutError, RedisError, RedisGone) as problem:
            self._drop(RedisGone(f"no connection to Redis: {problem}"))
            raise RedisGone(f"no connection to Redis: {problem}") from None
        self._greeted = True

    async def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._servers.path:
            await loop.create_unix_connection(lambda: self, self._servers.path)
            return
        address = await self._servers.primary()
        tls = outgoing_tls.context(address.host) if self._servers.secure else None
        await loop.create_connection(lambda: self, *address, ssl=tls)

    def _greeting(self) -> list[tuple[Any, ...]]:
        server, words = self._servers, list[tuple[Any, ...]]()
        if server.password:
            words.append(("AUTH", server.username or "default", server.password))
        if server.database:
            words.append(("SELECT", server.database))
        return words

    async def _is_primary(self) -> None:
        """Raises RedisGone for a replica, which sentinels may name for a moment after a
        failover.
        """
        role = await self._send(("ROLE",))
        if isinstance(role, hiredis.ReplyError) or role[0] != b"master":
            raise RedisGone("it is a replica")

    # asyncio.Protocol ----------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop has its own class
        self._reader = hiredis.Reader()
        keep_alive(transport.get_extra_info("socket"))
        if self._watchdog:
            self._watchdog.cancel()
            self._watchdog = None

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        asked_at = 0.0  # of the first command: the others were sent with it
        while (answer := self._reader.gets()) is not False:
            future, sent_at = self._waiting.popleft()
            asked_at = asked_at or sent_at
            if not future.done():
                future.set_result(answer)
        if asked_at and self._is_timed:
            ANSWERED.observe(time.monotonic() - asked_at)

    def connection_lost(self, problem: Exception | None) -> None:
        self._drop(RedisGone("the connection to Redis was lost"))

    def _drop(self, reason: RedisGone) -> None:
        if self._transport:
            self._transport.abort()
        self._transport, self._greeted = None, False
        self._outgoing = []
        waiting, self._waiting = self._waiting, deque()
        for future, _ in waiting:
            if not future.done():
                future.set_exception(reason)

    def _watch(self) -> None:
        """Drops a connection on which Redis does not answer.

        It runs only while answers are outstanding.
        """
        assert self._timeout_s is not None
        self._watchdog = None
        now = time.monotonic()
        busy = (
            now - self._watched_at > self._timeout_s / 2
        )  # then this process may be the one that did not read
        self._watched_at = now
        if not busy and self._waiting and now - self._waiting[0][1] > self._timeout_s:
            self._drop(RedisGone(f"Redis did not answer within {self._timeout_s:g} s"))
        if self._transport and self._waiting:
            loop = asyncio.get_running_loop()
            self._watchdog = loop.call_later(self._timeout_s / 4, self._watch)


def _gone(error: hiredis.ReplyError) -> RedisGone | None:
    """Returns None for an answer that reports a fault of the command."""
    text = str(error)
    if not text.startswith(NOT_NOW):
        return None
    return RedisFull(text) if text.startswith("OOM") else RedisGone(text)
