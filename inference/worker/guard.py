"""Guards an engine for a runner: checks its breaker, and reports outcomes of requests to it.

Without trouble it costs a dict lookup: only failures, and outcomes while the engine has trouble,
are reported to Redis.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from math import inf
from time import monotonic
from typing import Any

from inference.engines.base import EngineFailed, EnginePaused
from inference.engines.health import breakers
from inference.engines.health.breakers import Phase, Verb
from inference.order import Item
from infrastructure.redis.link import TROUBLE, RedisLink

log = logging.getLogger(__name__)
ONE_MORE_S = 1.0  # after 429, the limit grows by one request in this time
LATELY_S = 5.0
STEP_BACK_S = 1.0  # after a failure, if other engines can take the next requests
RENEW_S = breakers.PROBE_S / 4
LOOK_S = 0.1
OTHERS_S = 60.0  # an answer to one tenant counts for so long when another one's requests fail


class Guard:
    """The guard of one runner. Without a link (in a test) it lets everything through."""

    def __init__(self, engine: str = "", redis: RedisLink | None = None) -> None:
        self.engine, self._redis = engine, redis
        self._probes: dict[str, asyncio.Task[None]] = {}  # by the request's token
        self._reports: set[asyncio.Task[Any]] = set()
        self._failed_at = -inf
        self._limit, self._full_at = inf, -inf  # after 429
        self._last_failure = "", -inf  # its tenant and time
        self._served = [("", -inf), ("", -inf)]  # the last two answered tenants, with times

    @property
    def has_trouble(self) -> bool:
        return breakers.has_trouble(self.engine)

    @property
    def has_just_failed(self) -> bool:
        return self._failed_at > -inf and monotonic() < self._failed_at + STEP_BACK_S

    @property
    def has_not_answered(self) -> bool:
        """Returns whether it has answered nothing in the last seconds."""
        return monotonic() > self._served[0][1] + LATELY_S

    @property
    def phase(self) -> Phase:
        return breakers.phase(self.engine)

    def allowed_slots(self, slots: int, *, others: bool) -> int:
        """Returns how many requests it may have. `others`: other engines can take them instead."""
        phase = self.phase
        if not others or (phase is Phase.CLOSED and not self.has_just_failed):
            return slots
        return 1 if phase is Phase.DUE or self._probes else 0

    def note_full(self, running: int) -> None:
        """Note that the engine answered 429 while it ran `running` requests from here."""
        self._limit, self._full_at = running, monotonic()

    def limit_after_full(self, slots: int) -> int:
        """Returns at most `slots`: as many as a full engine ran, then one more each second."""
        if self._limit == inf:
            return slots
        limit = self._limit + int((monotonic() - self._full_at) / ONE_MORE_S)
        if limit >= slots:
            self._limit = inf
        return int(min(limit, slots))

    async def enter(self, token: str, *, waits: bool) -> None:
        """Return once the request may ask the engine. Raises EnginePaused.

        With `waits` it waits for a probe's outcome, instead of going elsewhere.
        """
        while (phase := self.phase) is not Phase.CLOSED:
            if phase is Phase.DUE and await self._claim_probe(token):
                return
            if self.phase is Phase.OPEN or not waits:
                raise EnginePaused(breakers.retry_after(self.engine))
            await asyncio.sleep(LOOK_S)

    def report_outcome(self, item: Item, failure: EngineFailed | None, *, cancelled: bool) -> None:
        """Report the outcome, if the breaker needs it. Does not wait."""
        answered = not (failure or cancelled)
        if answered:
            self._note_answer(item.tenant)
        if not (failure or self.has_trouble):
            return
        token = str(item)
        if probe := self._probes.pop(token, None):
            probe.cancel()
        if failure and failure.counts and not cancelled:
            if not self._has_worked_since(item.tenant, failure):
                self._failed_at = monotonic()
            self._last_failure = item.tenant, monotonic()
            self._spawn(self._failed(item, failure))
        elif answered:
            self._spawn(self._report("succeeded", token))
        elif probe:  # the probe was inconclusive: another request may be one
            self._spawn(self._report("released", token))

    def _note_answer(self, tenant: str) -> None:
        if self._served[0][0] != tenant:
            self._served[1] = self._served[0]
        self._served[0] = tenant, monotonic()

    def _has_worked_since(self, tenant: str, failure: EngineFailed) -> bool:
        """Returns whether it answered others since this tenant's last failure.

        Then it does not step back again, or one tenant's requests alone could stop the runner.
        """
        last_tenant, since = self._last_failure
        if last_tenant != tenant or not failure.may_be_the_requests:
            return False
        return any(other not in ("", tenant) and at > since for other, at in self._served)

    def _serves_others(self, tenant: str) -> bool:
        since = monotonic() - OTHERS_S
        return any(other not in ("", tenant) and at > since for other, at in self._served)

    async def close(self) -> None:
        for probe in self._probes.values():
            probe.cancel()
        if self._reports:
            await asyncio.wait(self._reports)

    async def _claim_probe(self, token: str) -> bool:
        if not await self._report("probe", token):
            return False
        if self.has_trouble:
            self._probes[token] = asyncio.create_task(self._renew(token))
        return True

    async def _renew(self, token: str) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await self._report("renew", token)

    async def _failed(self, item: Item, failure: EngineFailed) -> None:
        tenant = item.tenant if failure.may_be_the_requests else ""
        arguments = breakers.arguments(
            self.engine,
            "failed",
            str(item),
            failure.cause[:200],
            failure.asked_to_wait,
            tenant=tenant,
            serves_others=self._serves_others(tenant),
            at_once=failure.opens_breaker,
        )
        await self._run(arguments, failure.cause)

    async def _report(self, verb: Verb, token: str) -> bool:
        return await self._run(breakers.arguments(self.engine, verb, token), verb)

    async def _run(self, arguments: list[str | int], reason: str) -> bool:
        """Returns whether a request may ask the engine; also True without Redis."""
        if self._redis is None:
            return True
        with contextlib.suppress(*TROUBLE):
            previous = self.phase
            answer = await self._redis.run(breakers.REPORT, breakers.keys(self.engine), *arguments)
            may = breakers.learn(self.engine, answer)
            if self.phase is not previous:
                log.warning("%s: the breaker is %s (%s)", self.engine, self.phase, reason)
            return may
        return True

    def _spawn(self, report: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(report)
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)
