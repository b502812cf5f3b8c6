"""Summed usage, which pages and exports read instead of one row per request.

The roll-up (inference/usage/rollup.py) adds each usage row to them exactly once.
"""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db import models

from tenants.models import Tenant

DIGITS = 960  # of a histogram, which is one number (inference/usage/histogram.py)
ONCE = ["tenant", "starts", "team_id", "member_id", "api_key_id", "model", "adapter"]
NOBODY = UUID(int=0)  # stands for no team, no member, no key: NULL would not be unique


class RollupQuerySet(models.QuerySet[Any]):
    def of(self, tenant: Tenant | None) -> "RollupQuerySet":
        """Rows of one tenant, or of all."""
        return self.filter(tenant=tenant) if tenant else self

    def between(self, since: datetime, until: datetime) -> "RollupQuerySet":
        return self.filter(starts__gte=since, starts__lt=until)


class Rollup(models.Model):
    """One tenant, team, member, key, model and adapter in one hour or day (UTC).

    Teams, members and keys are bare ids, NOBODY for none: usage outlives them. Histograms count
    requests by milliseconds, each in one large number, so that they are added like all the rest.
    """

    id = models.BigAutoField(primary_key=True)
    starts = models.DateTimeField()
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+")
    team_id = models.UUIDField()
    member_id = models.UUIDField()
    api_key_id = models.UUIDField()
    model = models.CharField(max_length=120)
    adapter = models.CharField(max_length=80, default="", db_default="")
    requests = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    cost = models.BigIntegerField(default=0)  # micro-units of the currency
    hosted = models.BigIntegerField(default=0, db_default=0)  # requests that left this installation
    hosted_cost = models.BigIntegerField(
        default=0, db_default=0
    )  # the part of `cost` that these took
    millijoules = models.BigIntegerField(default=0, db_default=0)
    cancelled = models.BigIntegerField(default=0)
    errors_client = models.BigIntegerField(default=0)  # 4xx: what the caller sent
    errors_engine = models.BigIntegerField(default=0)  # the engine failed, or died
    errors_platform = models.BigIntegerField(
        default=0
    )  # the platform failed: aborted, no worker, no record
    ttft = models.DecimalField(max_digits=DIGITS, decimal_places=0, default=0)
    inter_token = models.DecimalField(max_digits=DIGITS, decimal_places=0, default=0)
    queue_wait = models.DecimalField(max_digits=DIGITS, decimal_places=0, default=0)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.starts:%Y-%m-%d %H:%M} {self.model}"


class UsageHour(Rollup):
    objects: ClassVar[RollupQuerySet] = RollupQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=ONCE,
                name="usage_hour_with_adapter_once",
            )
        ]
        indexes = [models.Index(fields=["starts"], name="usage_hour_starts")]


class UsageDay(Rollup):
    objects: ClassVar[RollupQuerySet] = RollupQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=ONCE,
                name="usage_day_with_adapter_once",
            )
        ]
        indexes = [models.Index(fields=["starts"], name="usage_day_starts")]


class RollupMark(models.Model):
    """The last usage row, by transaction and completion, that the roll-up has added."""

    unguarded = "how far the roll-up has come"  # why row security leaves it out

    id = models.SmallIntegerField(primary_key=True, default=1)
    xid = models.BigIntegerField(default=0)
    completion_id = models.UUIDField(default=NOBODY)
    at = models.DateTimeField(auto_now=True)  # when it last looked

    objects: ClassVar[models.Manager["RollupMark"]]

    def __str__(self) -> str:
        return str(self.xid)
