"""The cached answers of a tenant, for pages, purges and erasures."""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import redis
from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone

from audit.actions import Action
from audit.trail.record import act
from inference.cache.levels import prefix
from inference.models import Usage
from inference.queue.client import ask_script, client
from infrastructure.redis.link import Script
from tenants.models import Tenant

BATCH = 500
DROP = Script.load(Path(__file__).parent / "drop.lua", when_full=True)
SPAN = timedelta(hours=24)
HITS = ("l1", "l2", "shared")
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stored:
    """Answers and their bytes, by model."""

    entries: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)


def stored(tenant_id: UUID) -> Stored:
    """Returns the tenant's. Raises redis.RedisError."""
    totals = Stored()
    for _, size, _, model in _lines(tenant_id):
        totals.entries[model] += 1
        totals.bytes[model] += size
    return totals


def purge(tenant_id: UUID) -> int:
    """Delete a tenant's answers and return their number. Raises redis.RedisError."""
    return _drop(tenant_id, "")


def purge_subject(tenant_id: UUID, subject_id: UUID) -> int:
    """Delete those that a person asked for first. Raises redis.RedisError."""
    return _drop(tenant_id, subject_id.hex)


def left_of(tenant_id: UUID, subject_id: UUID) -> int:
    """Returns how many of a person's remain. Raises redis.RedisError."""
    return sum(subject == subject_id.hex for _, _, subject, _ in _lines(tenant_id))


def _drop(tenant_id: UUID, owner: str) -> int:
    """Delete answers; workers may store and delete others meanwhile."""
    names = [name for name, _, subject, _ in _lines(tenant_id) if owner in ("", subject)]
    where, count = prefix(tenant_id), 0
    for start in range(0, len(names), BATCH):
        with client().pipeline(transaction=False) as ask:
            ask_script(ask, DROP, where, owner, *names[start : start + BATCH])
            count += sum(ask.execute())
    return count


_LINE = re.compile(r"(\d{1,12})\|([0-9a-f]{32})\|(.*)", re.DOTALL)


def _lines(tenant_id: UUID) -> Iterator[tuple[str, int, str, str]]:
    """Yields name, bytes, subject and model of each. Foreign fields are skipped."""
    for name, text in client().hscan_iter(f"{prefix(tenant_id)}:about", count=1000):
        if match := _LINE.fullmatch(text.decode(errors="replace")):
            yield name.decode(errors="replace"), int(match[1]), match[2], match[3]


@dataclass(slots=True)
class CacheFigures:
    """Requests for one model by the source of their answer."""

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def looked(self) -> int:
        return self.counts.total()

    @property
    def hits(self) -> int:
        return sum(self.counts[level] for level in HITS)

    @property
    def percent(self) -> float:
        return 100 * self.hits / self.looked if self.looked else 0.0


def figures(tenant_id: UUID) -> Mapping[str, CacheFigures]:
    """Returns figures by model of the last SPAN, over requests that used the cache."""
    by_model: dict[str, CacheFigures] = {}
    rows = Usage.objects.filter(tenant_id=tenant_id, created_at__gt=timezone.now() - SPAN)
    rows = rows.exclude(cache="")
    for model, level, count in rows.values_list("model", "cache").annotate(n=Count("pk")):
        by_model.setdefault(model, CacheFigures()).counts[level] += count
    return by_model


def purge_by(tenant: Tenant, *, by: str) -> None:
    """Purge within a second. The bytes are freed if Redis is there, else when they expire."""
    with transaction.atomic():
        Tenant.objects.filter(pk=tenant.pk).update(cache_epoch=F("cache_epoch") + 1)
        act(Action.CACHE_PURGE, actor=by, tenant_id=tenant.id)
        transaction.on_commit(lambda: _free(tenant))


def _free(tenant: Tenant) -> None:
    try:
        purge(tenant.id)
    except redis.RedisError as problem:
        log.warning(
            "cannot delete cached answers of %s; they expire by themselves: %s",
            tenant.name,
            problem,
        )
