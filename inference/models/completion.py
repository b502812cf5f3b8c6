"""Requests of tenants and their usage, which record/sql_statements.py writes on the hot path."""

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.models.xid import Xid
from inference import request_id
from tenants.models import ApiKey, Member, Tenant


class State(models.TextChoices):
    OPEN = "open", _("In progress")
    DONE = "done", _("Done")
    CANCELLED = "cancelled", _("Cancelled")
    FAILED = "failed", _("Failed")


class CompletionQuerySet(models.QuerySet["Completion"]):
    def open(self) -> "CompletionQuerySet":
        return self.filter(state=State.OPEN)

    def overdue(self, at: datetime) -> "CompletionQuerySet":
        """Open ones whose deadline was before `at`. Rows of earlier versions have no deadline."""
        received = at - timedelta(seconds=settings.REQUEST_DEADLINE_S)
        unrecorded = models.Q(deadline=None, created_at__lt=received)
        return self.open().filter(models.Q(deadline__lt=at) | unrecorded)

    def of_key(self, api_key_id: uuid.UUID) -> "CompletionQuerySet":
        """Requests with this key, or one that it was rotated from or to; never a chat's."""
        return self.filter(api_key__in=ApiKey.objects.readable_with(api_key_id))


class Completion(models.Model):
    """One request for a completion. Its id is the request id everywhere.

    Ids are in the order of time (inference/request_id.py). An index of `created_at` would cost
    each request two entries: one when it is received, one when it is settled.
    """

    is_history = True  # keeps its subject's pseudonym: tenants/personal_data/erasure.py

    id = models.UUIDField(primary_key=True, default=request_id.new, editable=False)
    # The unique key of tenant and id (tenants/isolation/composite_keys.py) lists its requests. No
    # constraint, which would lock the tenant's row for each request: PROTECT keeps the tenant.
    tenant = models.ForeignKey(
        Tenant,
        models.PROTECT,
        related_name="completions",
        db_index=False,
        db_constraint=False,
    )
    # Keys are revoked. `make isolation` alone deletes some, and reads the table for that.
    api_key = models.ForeignKey(
        ApiKey, models.SET_NULL, null=True, related_name="+", db_index=False
    )
    member = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+", db_index=False)
    model = models.CharField(max_length=120)
    route = models.CharField(max_length=80)
    stream = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    created_at = models.DateTimeField()
    deadline = models.DateTimeField(null=True)
    pool = models.CharField(max_length=120, db_default="")  # that serves or served it
    klass = models.CharField(max_length=20, db_default="realtime")  # of work
    settled_at = models.DateTimeField(null=True)
    lowered_at = models.DateTimeField(null=True)  # by an operator, to `klass`
    # On `model`, by name and version (`name@number`); "": the model itself.
    adapter = models.CharField(max_length=80, db_default="")
    adapter_version = models.CharField(max_length=100, db_default="")

    objects: ClassVar[CompletionQuerySet] = CompletionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(
                "pool",
                "created_at",
                name="completion_waiting",
                condition=models.Q(state=State.OPEN),
            ),
            models.Index(
                "member", name="completion_of_member", condition=models.Q(member__isnull=False)
            ),
            models.Index(
                "lowered_at",
                name="completion_lowered",
                condition=models.Q(state=State.OPEN, lowered_at__isnull=False),
            ),
            models.Index("deadline", name="completion_due", condition=models.Q(state=State.OPEN)),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def queue(self) -> str:
        """Returns its pool's name, or in rows of earlier versions its queue's: the model's."""
        return self.pool or self.model


class Usage(models.Model):
    """The consumption of a completion. Each has exactly one row, even after a crash."""

    completion = models.OneToOneField(Completion, models.PROTECT, primary_key=True)
    # The completion's foreign key names the tenant too (tenants/isolation/composite_keys.py).
    tenant = models.ForeignKey(
        Tenant, models.PROTECT, related_name="usage", db_index=False, db_constraint=False
    )
    # Bare ids: usage outlives keys, members and teams.
    api_key_id = models.UUIDField(null=True)
    member_id = models.UUIDField(null=True)
    team_id = models.UUIDField(null=True)
    model = models.CharField(max_length=120)
    pool = models.CharField(max_length=120, db_default="")  # the pool that served it
    klass = models.CharField(max_length=20, db_default="realtime")  # of work
    hosted = models.BooleanField(db_default=False)  # its prompt left this installation
    prompt_tokens = models.IntegerField()
    completion_tokens = models.IntegerField()
    cached_tokens = models.IntegerField(default=0)
    gpu_ms = models.BigIntegerField(db_default=0)  # milliseconds times GPUs, of long work
    millijoules = models.BigIntegerField(null=True)  # that its GPUs took; None: not measured
    # Source of a cached answer: "l1", "l2", or "shared" with a request in flight. "miss": there
    # was none. "": the cache was not asked.
    cache = models.CharField(max_length=6, db_default="")
    # An attempt of a batch's line that is retried: not counted among requests and errors.
    repeated = models.BooleanField(db_default=False)
    cost = models.BigIntegerField(default=0)  # micro-units of the currency
    status = models.SmallIntegerField(default=200)
    finish_reason = models.CharField(max_length=20)  # "stop", "length", …, "cancelled", "error"
    error_code = models.CharField(max_length=60, default="")
    attempts = models.SmallIntegerField(default=1)
    preemptions = models.SmallIntegerField(db_default=0)  # gave its slot to a higher class
    queue_ms = models.IntegerField(null=True)
    ttft_ms = models.IntegerField(null=True)  # time to first token, from the authenticator
    duration_ms = models.IntegerField()
    created_at = models.DateTimeField()
    # On `model`, as in Completion.
    adapter = models.CharField(max_length=80, db_default="")
    adapter_version = models.CharField(max_length=100, db_default="")
    session = models.UUIDField(null=True)  # of its client, a keyed hash of the name
    # The writing transaction (set by the database): the roll-up takes rows in this order.
    xid = models.BigIntegerField(db_default=Xid())

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], name="usage_created"),
            models.Index(fields=["tenant", "-created_at"], name="usage_tenant_created"),
            models.Index(fields=["xid", "completion"], name="usage_written"),
            models.Index(
                "tenant", "created_at", name="usage_of_cache", condition=~models.Q(cache="")
            ),
            models.Index(
                "tenant",
                "adapter",
                "created_at",
                name="usage_of_adapter",
                condition=~models.Q(adapter=""),
            ),
            models.Index(
                "tenant",
                "created_at",
                "session",
                name="usage_of_session",
                condition=models.Q(session__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"usage of {self.completion_id}"

    @property
    def public_model(self) -> str:
        """Returns the name that the request asked for."""
        return f"{self.model}:{self.adapter}" if self.adapter else self.model
