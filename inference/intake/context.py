"""The open connections and tasks of a process that takes requests.

It is passed along: to `submit`, and to front ends in the ASGI lifespan's state.
"""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings

from audit.trail.group_commit import GroupCommit
from inference.engines import engines
from inference.engines.health import breaker_watch, reachability
from inference.engines.health.probing import keep_known, probe
from inference.intake.access.revocation import Revocation
from inference.intake.background import Background
from inference.intake.cached_answers import KeptAnswers
from inference.intake.cancellation import Cancellation
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.intake.prompt_templates import PromptTemplates
from inference.queue.fair_queue import FairQueues
from inference.queue.line_watch import LineWatch
from inference.record import claiming, limit_usage, statements
from inference.record.settling import RecordedAndSettled
from inference.registry import slot_report
from inference.stream.frame_reader import Returns
from infrastructure.postgres.resilient_connection import ResilientConnection
from infrastructure.redis.cluster_link import link_to
from tenants.authentication.authenticator import Authenticator
from tenants.quotas.exhausted import Exhausted
from tenants.quotas.price_list import PriceList
from tenants.rate_limits.rate_limiter import RateLimiter
from tenants.rate_limits.release import Slot
from tenants.refusals.recorder import Refusals

RECORD_PATIENCE_S = 1.0
RECORD_TENANT_BYTES = 64 * 1024 * 1024
SETTLE_PATIENCE_S = 30
READERS, SOCKETS, FOLLOWERS = 2_000, 4_000, 4_000  # of a web process


class Context:
    """Needs a running loop. `open` also waits for what the first request would wait for."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(6)
        self.redis = link_to(settings.REDIS_URL)
        self.database = ResilientConnection(settings.REQUESTS_DATABASE_URL)  # for probes
        self.authenticator = Authenticator(settings.DATABASE_URL)
        self.prompt_templates = PromptTemplates(self.authenticator.changes)
        self.returns = Returns(settings.REDIS_URL, self.id)
        self.refusals = Refusals(settings.DATABASE_URL)
        self.prices = PriceList(settings.DATABASE_URL)
        self.exhausted = Exhausted()
        self.received = _received(statements.RECEIVED, statements.RECEIVED_WITH_TEXTS)
        self.claimed = _received(
            claiming.CLAIMED, claiming.CLAIMED_WITH_TEXTS, what="claimed"
        )  # keyed: rare
        self.settled = GroupCommit(
            settings.DATABASE_URL,
            statements.SETTLED,
            patience_s=SETTLE_PATIENCE_S,
            what="settled",
        )
        self.answered_at_once = _received(
            statements.RECEIVED,
            what="answered_at_once",
            commits=RecordedAndSettled,
            doubt_s=SETTLE_PATIENCE_S,
        )
        self.kept_answers = KeptAnswers(self.redis)
        self.queues = FairQueues(self.redis)  # by pool
        self.line_watch = LineWatch(self.queues)
        self.background = Background()
        self.cancellation = Cancellation(self.redis, self.queues, self.settled, self.background)
        self.revocation = Revocation(settings.DATABASE_URL, self.cancellation.cancel)
        self.rate_limiter = RateLimiter(
            settings.REDIS_URL,
            processes=settings.ADMITTING_PROCESSES,
            number=settings.PROCESS_NUMBER,
            hold_s=self.hold_s,
            in_progress=self._in_progress,
        )
        self.readers, self.sockets = ConcurrencyLimit(READERS), ConcurrencyLimit(SOCKETS)
        self.followers = ConcurrencyLimit(FOLLOWERS)
        self.messenger = ThreadPoolExecutor(1, "wake-up")
        self._probing = [
            asyncio.create_task(keep_known(engines, slot_report.follow)),
            asyncio.create_task(reachability.keep_looking(engines)),
            asyncio.create_task(breaker_watch.keep_fresh(settings.REDIS_URL)),
        ]

    @classmethod
    async def open(cls) -> "Context":
        context, everybody = cls(), engines()
        await asyncio.gather(
            context.rate_limiter.open(), probe(everybody), reachability.look(everybody)
        )
        return context

    async def close(self) -> None:
        await self.background.finish()
        for task in self._probing:
            task.cancel()
        for part in (self.revocation, self.refusals, self.prices, self.rate_limiter, self.returns):
            await part.close()
        await self.line_watch.close()
        self.kept_answers.close()
        for commits in (self.received, self.claimed, self.answered_at_once, self.settled):
            await commits.close()
        await self.authenticator.close()
        await self.database.close()
        self.redis.close()
        self.messenger.shutdown(wait=False)

    @property
    def hold_s(self) -> int:
        """Returns for how many seconds a slot is held again, after Redis lost its data."""
        return int(settings.REQUEST_DEADLINE_S) + 60

    def _in_progress(self) -> list[Slot]:
        return [limit_usage.slot(order) for order in self.revocation.orders()]


def _received(
    statement: str,
    with_texts: str = "",
    *,
    what: str = "received",
    commits: type[GroupCommit] = GroupCommit,
    doubt_s: float = 0,
) -> GroupCommit:
    """Returns a group commit, which connects with its first row.

    `doubt_s` is set if rows are bills too.
    """
    return commits(
        settings.DATABASE_URL,
        statement,
        patience_s=RECORD_PATIENCE_S,
        doubt_s=doubt_s,
        tenant_bytes=RECORD_TENANT_BYTES,
        with_texts=with_texts,
        what=what,
    )


def context_of(scope: Any) -> Context:
    """Returns the context that the ASGI server's lifespan opened (ASGI, lifespan state)."""
    context: Context = scope["state"]["context"]
    return context


def context_if_any(request: Any) -> Context | None:
    """Returns the context of a page's request; None if no such process serves it, as in a test."""
    state = getattr(request, "scope", {}).get("state") or {}
    return state.get("context")
