"""The quota ledger: reservations of requests and their outcomes. Rows are added, never changed."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models.tenant import Tenant


class Kind(models.TextChoices):
    RESERVE = "reserve", _("Reserved")
    SETTLE = "settle", _("Settled")
    RELEASE = "release", _("Released")  # nothing was generated


class LedgerEntry(models.Model):
    """One step of one request. A finished request counts by its second entry alone.

    Keys, members and teams are bare ids, because the ledger outlives them.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    counts_at = models.DateTimeField()  # of the request: selects the windows that it counts in
    # No constraint, which would lock the tenant's row for each entry: PROTECT keeps the tenant.
    tenant = models.ForeignKey(
        Tenant, models.PROTECT, related_name="ledger", db_index=False, db_constraint=False
    )
    request_id = models.UUIDField()
    kind = models.CharField(max_length=8, choices=Kind)
    api_key_id = models.UUIDField(null=True)
    member_id = models.UUIDField(null=True)
    team_id = models.UUIDField(null=True)
    model = models.CharField(max_length=120)
    requests = models.IntegerField(default=1)
    tokens = models.BigIntegerField(default=0)
    cost = models.BigIntegerField(default=0)  # micro-units of the currency
    gpu_ms = models.BigIntegerField(default=0, db_default=0)  # milliseconds times GPUs, of jobs
    session = models.UUIDField(null=True)  # a keyed hash of the client's name for it

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "request_id", name="tenants_ledger_one_reserve", condition=models.Q(kind="reserve")
            ),
            models.UniqueConstraint(
                "request_id", name="tenants_ledger_one_end", condition=~models.Q(kind="reserve")
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "counts_at"], name="tenants_ledger_counts_at"),
            models.Index(
                "tenant",
                "session",
                name="tenants_ledger_session",
                condition=models.Q(session__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.tokens}"


class Reconciliation(models.Model):
    """A night's comparison of ledger, counters and usage of one tenant's day."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="reconciliations")
    day = models.DateField()
    ran_at = models.DateTimeField()
    requests_ledger = models.BigIntegerField()
    requests_usage = models.BigIntegerField()
    tokens_ledger = models.BigIntegerField()
    tokens_usage = models.BigIntegerField()
    cost_ledger = models.BigIntegerField()
    cost_usage = models.BigIntegerField()
    gpu_ms_ledger = models.BigIntegerField(default=0, db_default=0)
    gpu_ms_usage = models.BigIntegerField(default=0, db_default=0)
    counters_off = models.IntegerField(default=0)  # counters that differ from the ledger's sum

    class Meta:
        constraints = [models.UniqueConstraint("tenant", "day", name="tenants_reconciliation_once")]

    def __str__(self) -> str:
        return f"{self.day}"

    @property
    def difference(self) -> int:
        """The sum of all differences; 0 if the books agree."""
        return (
            abs(self.requests_ledger - self.requests_usage)
            + abs(self.tokens_ledger - self.tokens_usage)
            + abs(self.cost_ledger - self.cost_usage)
            + abs(self.gpu_ms_ledger - self.gpu_ms_usage)
            + self.counters_off
        )
