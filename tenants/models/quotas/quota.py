"""Budgets: the amount of a unit per window, for a tenant, key, member, team or model.

The ledger (ledger.py) is authoritative. A QuotaCounter is its running sum for one window, updated
in the transactions that write the ledger; its row lock prevents overspending.
"""

import uuid
from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from tenants.models.api_key import ApiKey
from tenants.models.member import Member
from tenants.models.model_changes import changed, lock
from tenants.models.quotas.balance import Balance, balances
from tenants.models.team import Team
from tenants.models.tenant import Tenant
from tenants.quotas import windows

MOST = 10**15  # sums of such numbers still fit into a bigint
MOST_QUOTAS = 200  # of a tenant, without the platform's: each request checks all of them


class SetByPlatform(Exception):
    """An operator set this quota: the tenant cannot change or delete it."""


class Unit(models.TextChoices):
    REQUESTS = "requests", _("Requests")
    TOKENS = "tokens", _("Tokens")  # prompt and completion together
    COST = "cost", _("Cost")  # in micro-units of the currency
    GPU_SECONDS = "gpu_seconds", _("GPU-seconds")  # of jobs; each order rounded up


class Window(models.TextChoices):
    DAY = "day", _("Day")
    MONTH = "month", _("Month")
    SESSION = "session", _("Session")  # of a client: requests that name the same one


class Quota(models.Model):
    """A limit of `unit` per window of the tenant's time zone, or per session.

    It is for the whole tenant, or for one key, member, team or model: at most one of the four is
    set. A team's requests are those that usage counts as the team's.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="quotas")
    api_key = models.ForeignKey(
        ApiKey, models.CASCADE, null=True, blank=True, related_name="quotas"
    )
    member = models.ForeignKey(Member, models.CASCADE, null=True, blank=True, related_name="quotas")
    team = models.ForeignKey(Team, models.CASCADE, null=True, blank=True, related_name="quotas")
    model = models.CharField(_("model"), max_length=120, blank=True, default="")
    unit = models.CharField(_("unit"), max_length=12, choices=Unit)
    window = models.CharField(_("window"), max_length=10, choices=Window)
    limit = models.BigIntegerField(
        _("limit"), validators=[MinValueValidator(0), MaxValueValidator(MOST)]
    )
    set_by_platform = models.BooleanField(default=False, editable=False)  # only operators change it
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "tenant",
                "api_key",
                "member",
                "team",
                "model",
                "unit",
                "window",
                name="tenants_quota_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="tenants_quota_one_scope",
                condition=models.Q(api_key=None, member=None, team=None)
                | models.Q(api_key=None, team=None, model="")
                | models.Q(member=None, team=None, model="")
                | models.Q(api_key=None, member=None, model=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.limit} {self.unit} per {self.window}"

    @classmethod
    def set(
        cls,
        tenant: Tenant,
        *,
        unit: str,
        window: str,
        limit: int,
        by: str,
        api_key: ApiKey | None = None,
        member: Member | None = None,
        team: Team | None = None,
        model: str = "",
        platform: bool = False,
    ) -> "Quota":
        """Makes or changes a quota. It applies at once, also to earlier use in the window.

        `platform`: an operator or a command sets it. Raises ValidationError, SetByPlatform.
        """
        scope = {"api_key": api_key, "member": member, "team": team, "model": model}
        with transaction.atomic():
            windows.one_sets_at_a_time(tenant.id)
            if api_key:
                api_key.lock_in_place()
            known = cls.objects.filter(tenant=tenant, unit=unit, window=window, **scope).first()
            if known:
                known.change(limit, by=by, platform=platform)
                return known
            quota = cls(tenant=tenant, unit=unit, window=window, limit=limit, **scope)
            quota.set_by_platform = platform
            quota.full_clean()
            if not platform:
                cls._refuse_too_many(tenant)
            quota.save(force_insert=True)
            quota._act(Action.QUOTA_CREATE, by, limit=limit)
            if window != Window.SESSION:  # whose counters open with their next request
                windows.open_now(tenant.id, [(quota.id, window)], tenant.time_zone)
        return quota

    def change(self, limit: int, *, by: str, platform: bool = False) -> None:
        """Changes the limit from the next request on. What the platform changes becomes its own.

        Raises ValidationError, SetByPlatform.
        """
        with transaction.atomic():
            lock(self)
            self._refuse_tenants(platform)
            fields = {"limit": limit, "set_by_platform": platform}
            if detail := changed(self, fields, list(fields)):
                self.save(update_fields=list(detail))
                self._act(Action.QUOTA_CHANGE, by, **detail)

    def drop(self, *, by: str, platform: bool = False) -> None:
        """Deletes the quota; the usage record is kept. Raises SetByPlatform."""
        with transaction.atomic():
            lock(self)
            self._refuse_tenants(platform)
            self._act(Action.QUOTA_DELETE, by, limit=self.limit)
            windows.hold_alone(self.tenant_id)
            self.delete()

    def balance(self, at: datetime | None = None) -> Balance:
        """Returns its balance in the window of `at` (now), or of the fullest session."""
        return balances([self], self.tenant.time_zone, at or timezone.now())[self.id]

    def binds(self, api_key: ApiKey) -> bool:
        """Returns True if it is the key's own, its successor's, its maker's or its team's."""
        keys = {api_key.pk, api_key.replaced_by_id} - {None}
        maker, team = api_key.created_by_id, api_key.team_id
        of_maker = maker is not None and self.member_id == maker
        return self.api_key_id in keys or of_maker or (team is not None and self.team_id == team)

    def clean(self) -> None:
        self.model = self.model.strip()
        problems = {}
        if self.api_key and self.api_key.tenant_id != self.tenant_id:
            problems["api_key"] = _("There is no such key in this tenant.")
        if self.member and self.member.tenant_id != self.tenant_id:
            problems["member"] = _("There is no such member in this tenant.")
        if self.team and self.team.tenant_id != self.tenant_id:
            problems["team"] = _("There is no such team in this tenant.")
        if sum(map(bool, (self.api_key_id, self.member_id, self.team_id, self.model))) > 1:
            problems["model"] = _("A quota is of one key, one member, one team or one model.")
        if self.unit == Unit.GPU_SECONDS and self.window == Window.SESSION:
            problems["unit"] = _("Jobs have no session.")
        if problems:
            raise ValidationError(problems)

    @classmethod
    def _refuse_too_many(cls, tenant: Tenant) -> None:
        if cls.objects.filter(tenant=tenant, set_by_platform=False).count() >= MOST_QUOTAS:
            text = _("A tenant has at most %(most)s quotas. Delete one that you no longer need.")
            raise ValidationError(text, code="too_many", params={"most": MOST_QUOTAS})

    def _refuse_tenants(self, platform: bool) -> None:
        if self.set_by_platform and not platform:
            raise SetByPlatform

    @property
    def described(self) -> dict[str, str]:
        """The quota's facts for the audit trail."""
        ids = {"key": self.api_key_id, "member": self.member_id, "team": self.team_id}
        scope = {**ids, "model": self.model}
        owner = {name: str(value) for name, value in scope.items() if value}
        return {"quota": str(self.id), "unit": self.unit, "window": self.window, **owner}

    def _act(self, action: Action, by: str, **detail: object) -> None:
        act(action, actor=by, tenant_id=self.tenant_id, detail={**self.described, **detail})


class QuotaCounter(models.Model):
    """One quota in one window: `reserved` by requests in progress, `used` by settled ones.

    That of a session has one, and all time as its window.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    quota = models.ForeignKey(Quota, models.CASCADE, related_name="counters", db_index=False)
    session = models.UUIDField(null=True)
    starts = models.DateTimeField()
    ends = models.DateTimeField()
    reserved = models.BigIntegerField(default=0)
    used = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["quota", "session", "starts"],
                name="tenants_counter_of_window",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.used} + {self.reserved} since {self.starts:%Y-%m-%d}"


class QuotaNotice(models.Model):
    """A notice, sent once, that a quota's window passed 80 % or 100 %."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="quota_notices")
    quota = models.ForeignKey(Quota, models.CASCADE, related_name="notices")
    starts = models.DateTimeField()
    percent = models.SmallIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint("quota", "starts", "percent", name="tenants_notice_once")
        ]

    def __str__(self) -> str:
        return f"{self.percent} %"
