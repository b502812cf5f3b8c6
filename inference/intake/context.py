"""The open connections and tasks of a process that takes requests.

It is passed along: to `submit`, and to front ends in the ASGI lifespan's state.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from django.conf import settings

from inference.engines import engines
from inference.engines.health import breakers, reachability
from inference.engines.health.reachability import keep_known, probe
from inference.intake.access.revocation import Revocation
from inference.intake.background import Background
from inference.intake.cache_lookup import KeptAnswers
from inference.intake.cancellation import Cancellation
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.intake.prompt_templates import PromptTemplates
from inference.queue.queues import FairQueues
from inference.record import limit_usage
from inference.record.commits import Commits
from inference.registry import slot_report
from inference.stream.frame_reader import FrameReader
from infrastructure.postgres.lookups import Lookups
from infrastructure.postgres.resilient_connection import ResilientConnection
from infrastructure.redis.cluster_link import link_to
from tenants.authentication.authenticator import Authenticator
from tenants.quotas.ledger_answer import Exhausted
from tenants.quotas.price_list import PriceList
from tenants.rate_limits.rate_limiter import RateLimiter
from tenants.refusals.recorder import RefusalRecorder

READERS, SOCKETS, FOLLOWERS = 2_000, 4_000, 4_000  # of a web process


class Context:
    """Needs a running loop. `open` also waits for what the first request would wait for."""

    def __init__(self) -> None:
        dsn = settings.DATABASE_URL
        self.loop = asyncio.get_running_loop()
        self.redis = link_to(settings.REDIS_URL)
        self.database = ResilientConnection(settings.REQUESTS_DATABASE_URL)  # for probes
        self.authenticator = Authenticator(dsn)
        self.prompt_templates = PromptTemplates(self.authenticator.changes)
        self.frame_reader = FrameReader(settings.REDIS_URL, secrets.token_hex(6))
        self.refusals = RefusalRecorder(dsn)
        self.commits, self.lookups = Commits(dsn), Lookups(dsn)
        self.kept_answers = KeptAnswers(self.redis)
        self.queues = FairQueues(self.redis)  # by pool
        self.background = Background()
        self.cancellation = Cancellation(
            self.redis, self.queues, self.commits.settled, self.background
        )
        self.revocation = Revocation(dsn, self.cancellation.cancel)
        self.limits, self.quotas = Limits(self.revocation), Quotas(dsn)
        self._probing = [
            asyncio.create_task(keep_known(engines, slot_report.follow)),
            asyncio.create_task(reachability.keep_looking(engines)),
            asyncio.create_task(breakers.keep_fresh(settings.REDIS_URL)),
        ]

    @classmethod
    async def open(cls) -> "Context":
        context, everybody = cls(), engines()
        await asyncio.gather(
            context.limits.rate.open(), probe(everybody), reachability.look(everybody)
        )
        return context

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator["Context"]:
        """Yields a context for work that is no web process's."""
        context = await cls.open()
        try:
            yield context
        finally:
            await context.close()

    async def close(self) -> None:
        await self.background.finish()
        for task in self._probing:
            task.cancel()
        for part in (self.revocation, self.refusals, self.quotas.prices, self.limits.rate):
            await part.close()
        await self.frame_reader.close()
        await self.queues.close()
        self.kept_answers.close()
        await self.commits.close()
        await self.lookups.close()
        await self.authenticator.close()
        await self.database.close()
        self.redis.close()


class Limits:
    """The limits of callers, and of what may be open in this process at once."""

    def __init__(self, revocation: Revocation) -> None:
        self.rate = RateLimiter(
            settings.REDIS_URL,
            processes=settings.ADMITTING_PROCESSES,
            number=settings.PROCESS_NUMBER,
            # For so many seconds a slot is held again, after Redis lost its data.
            hold_s=int(settings.REQUEST_DEADLINE_S) + 60,
            in_progress=lambda: [limit_usage.slot(order) for order in revocation.orders()],
        )
        self.readers, self.sockets = ConcurrencyLimit(READERS), ConcurrencyLimit(SOCKETS)
        self.followers = ConcurrencyLimit(FOLLOWERS)


class Quotas:
    """Prices of models, and quotas that are known to be used up."""

    def __init__(self, dsn: str) -> None:
        self.prices, self.exhausted = PriceList(dsn), Exhausted()


def context_of(scope: Any) -> Context:
    """Returns the context that the ASGI server's lifespan opened (ASGI, lifespan state)."""
    context: Context = scope["state"]["context"]
    return context


def context_if_any(request: Any) -> Context | None:
    """Returns the context of a page's request; None if no such process serves it, as in a test."""
    state = getattr(request, "scope", {}).get("state") or {}
    return state.get("context")
