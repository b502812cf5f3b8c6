import uuid
from functools import cache
from typing import Any, ClassVar
from zoneinfo import available_timezones

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models, transaction
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.retention import periods
from audit.retention.data_classes import AUDIT, FLOOR_DAYS
from audit.trail.record import act
from tenants.models.changing import changed, locked
from tenants.models.origin import LONGEST_ORIGIN, known_origins
from tenants.models.tier import LIMITS, Tier, TierPolicy
from tenants.models.user import User
from tenants.quotas import counters
from tenants.roles import Profile, Role

RETENTION_FLOOR_DAYS = FLOOR_DAYS
_SETTINGS = ("profile", "local_only", "retention_days", "time_zone", "allowed_origins")
CHANGEABLE = ("tier", *LIMITS, *_SETTINGS)
LONGEST_REASON = 200


class State(models.TextChoices):
    ACTIVE = "active", _("Active")
    SUSPENDED = "suspended", _("Suspended")  # nobody comes in, nothing is lost
    CLOSING = "closing", _("Closing")  # for good: the data's retention runs out


NAME = RegexValidator(
    r"^[a-z0-9][a-z0-9-]*\Z",
    _("Use lowercase letters, digits and dashes, and begin with a letter or a digit."),
)


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())  # reads hundreds of files


def known_time_zone(name: str) -> None:
    if name not in _time_zones():
        raise ValidationError(_("Use a name like Europe/Berlin or Asia/Shanghai."))


class Closed(Exception):
    """The tenant is closing, and that is for good."""


class OperatorsStayOut(Exception):
    """Where duties are kept apart, an operator of the platform cannot be a member."""


class TenantQuerySet(models.QuerySet["Tenant"]):
    def visible_to(self, user: User) -> "TenantQuerySet":
        """Operators see every tenant; everyone else those they belong to."""
        if user.is_operator:
            return self.all()
        return self.filter(members__user=user)

    def open(self) -> "TenantQuerySet":
        return self.filter(state=State.ACTIVE)


class Tenant(models.Model):
    """Who shares the GPUs. A limit of None is the tier's; 0 means: no limit."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=60, unique=True, validators=[NAME])
    tier = models.CharField(_("tier"), max_length=10, choices=Tier, default=Tier.STANDARD)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.ACTIVE)
    profile = models.CharField(
        _("security profile"), max_length=10, choices=Profile, default=Profile.ASVS
    )
    local_only = models.BooleanField(
        _("local only"), default=False, help_text=_("No prompt ever leaves this installation.")
    )
    retention_days = models.PositiveIntegerField(
        _("retention in days"),
        default=200,
        validators=[MinValueValidator(RETENTION_FLOOR_DAYS)],
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=60,
        default="UTC",
        validators=[known_time_zone],
        help_text=_("Days and months of quotas start at midnight in this time zone."),
    )
    allowed_origins = ArrayField(  # of web pages; empty: none
        models.CharField(max_length=LONGEST_ORIGIN),
        verbose_name=_("browser origins"),
        default=list,
        blank=True,
        validators=[known_origins],
    )
    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"), null=True, blank=True
    )
    burst = models.PositiveIntegerField(_("burst"), null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(_("tokens per minute"), null=True, blank=True)
    max_concurrency = models.PositiveIntegerField(_("requests at once"), null=True, blank=True)
    megabytes_in_flight = models.PositiveIntegerField(
        _("megabytes in flight"), null=True, blank=True
    )
    megabytes_per_day = models.PositiveIntegerField(
        _("megabytes stored per day"), null=True, blank=True
    )
    cache_epoch = models.PositiveIntegerField(db_default=0)  # grows with each purge of answers
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[TenantQuerySet] = TenantQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name

    @cached_property
    def policy(self) -> TierPolicy:
        return TierPolicy.objects.of(self.tier)

    @property
    def weight(self) -> int:
        """Share of the GPUs in the fair queue, against a standard tenant's 1."""
        return self.policy.weight

    def limit(self, name: str) -> int:
        """One of LIMITS as it holds: the tenant's own figure, else its tier's."""
        own: int | None = getattr(self, name)
        found: int = getattr(self.policy, name) if own is None else own
        return found

    @property
    def effective(self) -> dict[str, int]:
        """Every limit as it holds."""
        return {name: self.limit(name) for name in LIMITS}

    @classmethod
    def open(cls, name: str, *, by: str, **fields: Any) -> "Tenant":
        """Raises ValidationError for a bad or taken name."""
        tenant = cls(name=name, **fields)
        tenant.full_clean()
        with transaction.atomic():
            tenant.save(force_insert=True)
            given = {field: value for field, value in fields.items() if value is not None}
            detail = {"name": name, **given}
            act(Action.TENANT_CREATE, actor=by, tenant_id=tenant.id, detail=detail)
        return tenant

    def change(self, *, by: str, **fields: Any) -> None:
        """Sets any of CHANGEABLE. Raises ValidationError."""
        with transaction.atomic():
            locked(self)
            if fields.get("profile") == Profile.MLPS != self.profile:
                self._refuse_operators()
            detail = changed(self, fields, CHANGEABLE)
            if not detail:
                return
            self.__dict__.pop("policy", None)  # of the tier that was
            self.save(update_fields=list(detail))
            act(Action.TENANT_CHANGE, actor=by, tenant_id=self.id, detail=detail)
            if days := detail.get("retention_days"):
                periods.record(self.id, AUDIT, *days, by=by)
            if "time_zone" in detail:
                quotas = self.quotas.values_list("id", "window")
                counters.open_now(self.id, quotas, self.time_zone)

    def _refuse_operators(self) -> None:
        if self.members.filter(user__is_operator=True).exists():
            raise ValidationError({"profile": _("An operator of the platform is a member here.")})

    # A tenant's life -----------------------------------------------------------------------------
    def suspend(self, *, by: str, reason: str) -> None:
        """Within a second nobody comes in, and what runs is ended. Raises Closed."""
        self._become(State.SUSPENDED, Action.TENANT_SUSPEND, by, reason)

    def resume(self, *, by: str) -> None:
        """Raises Closed."""
        self._become(State.ACTIVE, Action.TENANT_RESUME, by)

    def close(self, *, by: str, reason: str) -> None:
        """For good."""
        self._become(State.CLOSING, Action.TENANT_CLOSE, by, reason)

    def _become(self, state: State, action: Action, by: str, reason: str | None = None) -> None:
        """Nothing happens where it is so already."""
        detail = {} if reason is None else {"reason": _reason(reason)}
        with transaction.atomic():
            locked(self)
            if self.state == state:
                return
            if self.state == State.CLOSING:
                raise Closed
            self.state = state
            self.save(update_fields=["state"])
            act(action, actor=by, tenant_id=self.id, detail=detail)

    # People --------------------------------------------------------------------------------------
    def add_member(self, user: User, role: Role, *, by: str = "") -> Any:
        """The member there is, or a new one. Raises OperatorsStayOut.

        Without `by` they join by themselves: as the member that they become, since no event may
        tell their pseudonym and their account in one.
        """
        with transaction.atomic():
            locked(self)
            if self.profile == Profile.MLPS and user.is_operator:
                raise OperatorsStayOut
            member, new = self.members.get_or_create(user=user, defaults={"role": Role(role)})
            if new:
                act(
                    Action.MEMBER_ADD,
                    actor=by or member.actor,
                    tenant_id=self.id,
                    subject_id=member.subject_id,
                    detail={"member": str(member.id), "role": member.role},
                )
        return member


def _reason(text: str) -> str:
    """Raises ValidationError."""
    text = text.strip()
    if not text or len(text) > LONGEST_REASON:
        raise ValidationError({"reason": _("Say why, in at most 200 characters.")})
    return text
