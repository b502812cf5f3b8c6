"""Tenants: opened, changed, suspended, resumed and closed."""

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
from tenants.caller import SESSION
from tenants.models.model_changes import changed, lock
from tenants.models.origin import LONGEST_ORIGIN, known_origins
from tenants.models.tier import LIMITS, OwnLimits, Tier, TierPolicy
from tenants.models.user import User
from tenants.quotas import windows
from tenants.roles import Profile, Role

RETENTION_FLOOR_DAYS = FLOOR_DAYS
CHAT_RULES = ("chat_sharing", "temporary_chats")
_SETTINGS = (
    *("profile", "local_only", "retention_days", "time_zone", "allowed_origins"),
    *CHAT_RULES,
)
CHANGEABLE = ("tier", *LIMITS, *_SETTINGS)
LONGEST_REASON = 200


class State(models.TextChoices):
    ACTIVE = "active", _("Active")
    SUSPENDED = "suspended", _("Suspended")  # all access is refused, no data is lost
    CLOSING = "closing", _("Closing")  # for good: the data expires


class Sharing(models.TextChoices):
    """The people with whom members may share conversations of the chat."""

    NOBODY = "nobody", _("Nobody")
    MEMBERS = "members", _("People of the tenant")
    LINKS = "links", _("People of the tenant, and everybody with a link")


class TemporaryChats(models.TextChoices):
    ALLOWED = "allowed", _("Each person decides")
    ALWAYS = "always", _("Every chat is temporary")
    NEVER = "never", _("No chat is temporary")


NAME = RegexValidator(
    r"^[a-z0-9][a-z0-9-]*\Z",
    _("Use lowercase letters, digits and dashes, and begin with a letter or a digit."),
)


@cache
def time_zones() -> frozenset[str]:
    return frozenset(available_timezones())  # reads hundreds of files


def known_time_zone(name: str) -> None:
    if name not in time_zones():
        raise ValidationError(_("Use a name like Europe/Berlin or Asia/Shanghai."))


class Closed(Exception):
    """The tenant is closing, which is final."""


class OperatorsStayOut(Exception):
    """An operator may not be a member of a tenant with separation of duties."""


class TenantQuerySet(models.QuerySet["Tenant"]):
    def visible_to(self, user: User) -> "TenantQuerySet":
        """Returns all tenants for operators, and for others those they belong to."""
        if user.is_operator:
            return self.all()
        return self.filter(members__user=user)

    def open(self) -> "TenantQuerySet":
        return self.filter(state=State.ACTIVE)


class Tenant(OwnLimits):
    """A customer or department that shares the GPUs. A limit of None is the tier's; 0: none."""

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
        _("retention in days"), default=200, validators=[MinValueValidator(RETENTION_FLOOR_DAYS)]
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=60,
        default="UTC",
        validators=[known_time_zone],
        help_text=_("Days and months of quotas start at midnight in this time zone."),
    )
    allowed_origins = ArrayField(  # origins of web pages; empty: none
        models.CharField(max_length=LONGEST_ORIGIN),
        verbose_name=_("browser origins"),
        default=list,
        blank=True,
        validators=[known_origins],
    )
    chat_sharing = models.CharField(
        _("sharing of chats"),
        max_length=10,
        choices=Sharing,
        default=Sharing.MEMBERS,
        db_default=Sharing.MEMBERS,
    )
    temporary_chats = models.CharField(
        _("temporary chats"),
        max_length=10,
        choices=TemporaryChats,
        default=TemporaryChats.ALLOWED,
        db_default=TemporaryChats.ALLOWED,
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
        """The share of the GPUs in the fair queue, relative to a standard tenant's 1."""
        return self.policy.weight

    def limit(self, name: str) -> int:
        """Returns the effective value of one of LIMITS: the tenant's own, else its tier's."""
        own: int | None = getattr(self, name)
        effective: int = getattr(self.policy, name) if own is None else own
        return effective

    @property
    def effective(self) -> dict[str, int]:
        """The effective value of every limit."""
        return {name: self.limit(name) for name in LIMITS}

    @classmethod
    def open(cls, name: str, *, by: str, **fields: Any) -> "Tenant":
        """Makes a tenant. Raises ValidationError for an invalid or existing name."""
        tenant = cls(name=name, **fields)
        tenant.full_clean()
        with transaction.atomic():
            tenant.save(force_insert=True)
            values = {field: value for field, value in fields.items() if value is not None}
            detail = {"name": name, **values}
            act(Action.TENANT_CREATE, actor=by, tenant_id=tenant.id, detail=detail)
        return tenant

    def change(self, *, by: str, **fields: Any) -> None:
        """Sets any of CHANGEABLE. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            separates = fields.get("profile") == Profile.MLPS != self.profile
            if separates and self.members.filter(user__is_operator=True).exists():
                problem = _("An operator of the platform is a member here.")
                raise ValidationError({"profile": problem})
            detail = changed(self, fields, CHANGEABLE)
            if not detail:
                return
            self.__dict__.pop("policy", None)  # it was the former tier's
            self.save(update_fields=list(detail))
            act(Action.TENANT_CHANGE, actor=by, tenant_id=self.id, detail=detail)
            if days := detail.get("retention_days"):
                periods.record(self.id, AUDIT, *days, by=by)
            if "time_zone" in detail:
                quotas = self.quotas.exclude(window=SESSION).values_list("id", "window")
                windows.open_now(self.id, quotas, self.time_zone)

    # A tenant's life -----------------------------------------------------------------------------
    def suspend(self, *, by: str, reason: str) -> None:
        """Refuses all access within a second, and ends running requests. Raises Closed."""
        self._become(State.SUSPENDED, Action.TENANT_SUSPEND, by, reason)

    def resume(self, *, by: str) -> None:
        """Ends a suspension. Raises Closed."""
        self._become(State.ACTIVE, Action.TENANT_RESUME, by)

    def close(self, *, by: str, reason: str) -> None:
        """Closes the tenant for good."""
        self._become(State.CLOSING, Action.TENANT_CLOSE, by, reason)

    def _become(self, state: State, action: Action, by: str, reason: str | None = None) -> None:
        """Changes the state, unless it is the same already."""
        detail = {} if reason is None else {"reason": _reason(reason)}
        with transaction.atomic():
            lock(self)
            if self.state == state:
                return
            if self.state == State.CLOSING:
                raise Closed
            self.state = state
            self.save(update_fields=["state"])
            act(action, actor=by, tenant_id=self.id, detail=detail)

    # People --------------------------------------------------------------------------------------
    def add_member(self, user: User, role: Role, *, by: str = "") -> Any:
        """Returns the existing member or a new one. Raises OperatorsStayOut.

        Without `by` a person joins by themselves: the actor is the new member, because no event may
        contain both a pseudonym and an account.
        """
        with transaction.atomic():
            lock(self)
            if self.profile == Profile.MLPS and user.is_operator:
                raise OperatorsStayOut
            member, new = self.members.get_or_create(user=user, defaults={"role": Role(role)})
            if new:
                member.record(Action.MEMBER_ADD, by=by or member.actor, role=member.role)
        return member


def _reason(text: str) -> str:
    """Returns the trimmed reason. Raises ValidationError."""
    text = text.strip()
    if not text or len(text) > LONGEST_REASON:
        raise ValidationError({"reason": _("Say why, in at most 200 characters.")})
    return text
