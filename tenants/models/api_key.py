"""API keys of a tenant: issued, shown once, changed, rotated, revoked."""

import uuid
from collections.abc import Mapping
from copy import copy
from datetime import datetime, timedelta
from ipaddress import IPv6Network, ip_network
from typing import Any, ClassVar

from django.contrib.auth.models import Group
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from tenants import secret_keys
from tenants.key_scopes import Scope
from tenants.models import key_permissions
from tenants.models.key_schedule import LATEST, ScheduledRotation, check_time
from tenants.models.key_schedule import LONGEST_OVERLAP as LONGEST_OVERLAP
from tenants.models.member import Member
from tenants.models.model_changes import changed, lock
from tenants.models.restricted_model import copy_grants
from tenants.models.team import Team
from tenants.models.tenant import State, Tenant
from tenants.models.tier import LIMITS, OwnLimits

OFFERED = list(Scope)
POWERFUL = (Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE, Scope.AUDIT_READ)
CHANGEABLE = (
    "name",
    "scopes",
    "allowed_models",
    "allowed_networks",
    "local_only",
    "team",
    "expires_at",
    *LIMITS,
)
ERASED = "erased"  # replaces a grantor whose data was erased; the key then has no permissions
MOST_ENTRIES = 100  # models, or addresses, of a key
_MAPPED_BITS = 96  # the prefix of an IPv4 address in IPv6 form
PEOPLE = ("member", "user", "operator", ERASED)  # kinds of actors that a key can depend on
_NEVER_GIVEN = ("digest", "created_by", "revoked_at", "last_used_at", "replaced_by", "group")


def inference_only() -> list[str]:
    return [Scope.INFERENCE]


def network(text: str) -> str:
    """Returns an address or network in PostgreSQL's form. Raises ValidationError."""
    try:
        parsed = ip_network(text.strip().replace("%", " "))  # a zone is local to one machine
    except ValueError:
        wrong = _("'%(text)s' is not an IP address or network like 192.0.2.0/24 or 2001:db8::/32.")
        raise ValidationError(wrong, params={"text": text}) from None
    mapped = parsed.network_address.ipv4_mapped if isinstance(parsed, IPv6Network) else None
    if mapped and parsed.prefixlen >= _MAPPED_BITS:
        return f"{mapped}/{parsed.prefixlen - _MAPPED_BITS}"
    return str(parsed)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def live(self) -> "ApiKeyQuerySet":
        return self.filter(revoked_at=None)

    def in_place(self) -> "ApiKeyQuerySet":
        """Returns live keys that no other key has replaced: only these get quotas and rules."""
        return self.live().filter(replaced_by=None)

    def due_for_rotation(self) -> "ApiKeyQuerySet":
        """Returns keys of active tenants that are to be rotated by now."""
        now = timezone.now()
        due = self.live().filter(replaced_by=None, uncollected=False, rotate_at__lte=now)
        unexpired = models.Q(expires_at=None) | models.Q(expires_at__gt=now)
        return due.filter(unexpired, tenant__state=State.ACTIVE)

    def powerful(self) -> "ApiKeyQuerySet":
        """Returns live keys that manage a tenant, or read its audit trail."""
        return self.live().filter(scopes__overlap=list(POWERFUL))

    def line_of(self, pk: uuid.UUID) -> "ApiKeyQuerySet":
        """Returns the key, and those that it was rotated from or to."""
        newest = self.filter(pk=pk).values(newest=Coalesce("replaced_by", "pk"))
        return self.filter(models.Q(pk__in=newest) | models.Q(replaced_by__in=newest))

    def readable_with(self, pk: uuid.UUID) -> "ApiKeyQuerySet":
        """Returns keys of its line whose texts it may read.

        A person who rotated somebody else's key has the new key's text, but may not read the old
        one's requests, even if they had widened it before.
        """
        own = self.filter(pk=pk)
        known = {
            f"{people}__contains": models.Subquery(own.values(people))
            for people in ("grantors", "holders")
        }
        return self.line_of(pk).filter(**known)

    def successor_of(self, pk: uuid.UUID) -> "ApiKey | None":
        """Returns the key that replaced it, if that one may read its texts."""
        fresh = self.filter(pk__in=self.filter(pk=pk).values("replaced_by")).first()
        may = fresh and self.readable_with(fresh.pk).filter(pk=pk).exists()
        return fresh if may else None

    def depending_on(self, actor: str) -> "ApiKeyQuerySet":
        return self.filter(grantors__contains=[actor])

    def end_power_of(self, actor: str, *, by: str, why: str) -> None:
        """Ends the power of live keys that an actor made, widened or rotated.

        `why` says what happened to the actor, such as "removed".
        """
        for key in self.powerful().depending_on(actor).select_related("tenant", "created_by"):
            if key.created_by and key.created_by.actor == actor:
                key.revoke(by=by, reason=f"its maker was {why}")
            else:
                key.lose_power(by=by, reason=f"who widened or rotated it was {why}")


class ApiKey(ScheduledRotation, OwnLimits):
    """A secret with which a program acts for a tenant. Its text is shown once and never stored.

    Its limits are its own, under the tenant's. None or 0: only the tenant's apply.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="api_keys")
    name = models.CharField(_("name"), max_length=80)
    public_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField(unique=True)
    created_by = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+")
    grantors = ArrayField(  # actors who made, widened or rotated it; see key_permissions.py
        models.CharField(max_length=80), default=list, blank=True, editable=False
    )
    holders = ArrayField(  # those of them who were shown its text by making or rotating it
        models.CharField(max_length=80), default=list, blank=True, editable=False
    )
    group = models.OneToOneField(  # made with the key's first grant of a restricted model
        Group, models.SET_NULL, null=True, editable=False, related_name="api_key"
    )
    team = models.ForeignKey(
        Team,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="api_keys",
        verbose_name=_("team"),
    )
    scopes = ArrayField(
        models.CharField(max_length=20, choices=Scope),
        default=inference_only,
        verbose_name=_("scopes"),
    )
    allowed_models = ArrayField(  # empty: every model that the tenant may use
        models.CharField(max_length=120), default=list, blank=True, verbose_name=_("models")
    )
    allowed_networks = ArrayField(  # CIDR; empty: from anywhere
        models.CharField(max_length=43), default=list, blank=True, verbose_name=_("addresses")
    )
    local_only = models.BooleanField(_("local only"), default=False)  # as if its tenant were
    subject_id = models.UUIDField(default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    replaced_by = models.ForeignKey("self", models.SET_NULL, null=True, related_name="+")

    objects: ClassVar[ApiKeyQuerySet] = ApiKeyQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.name} ({secret_keys.PREFIX}{self.public_id}…)"

    @property
    def actor(self) -> str:
        return f"key:{self.id}"

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @classmethod
    def issue(
        cls,
        tenant: Tenant,
        name: str,
        *,
        by: str,
        created_by: Member | None = None,
        days: int | None = None,
        expires_at: datetime | None = None,
        **settings: Any,
    ) -> tuple["ApiKey", str]:
        """Returns the new key and its text, which cannot be shown again.

        `settings` are any of CHANGEABLE; None selects the default. Raises ValidationError.
        """
        values = {field: value for field, value in settings.items() if value is not None}
        if unknown := set(values) - set(CHANGEABLE):
            raise TypeError(f"a key has no {', '.join(sorted(unknown))}")
        if days:
            expires_at = timezone.now() + timedelta(days=days)
        with transaction.atomic():
            values |= {"created_by": created_by, "expires_at": expires_at}
            key = cls(tenant=tenant, name=name, **values)
            key._depend_on(*([created_by.actor] if created_by else ()), by)
            key._show_to(by)
            text = key._mint()
            key.record(Action.API_KEY_CREATE, by)
        return key, text

    def change(self, *, by: str, reason: str = "", **fields: Any) -> None:
        """Sets any of CHANGEABLE.

        Raises ValidationError, also for a revoked key, and a scope that a grantor may not give.
        """
        with transaction.atomic():
            lock(self)
            self._refuse_if_revoked()
            check_time("expires_at", fields.get("expires_at"))
            self._refuse_longer_overlap(**fields)
            key_permissions.refuse_beyond_grantors(self, fields.get("scopes", ()))
            before = copy(self)
            detail = changed(self, fields, CHANGEABLE)
            if not detail:
                return
            if key_permissions.wider(self, before) or (self.team_id and "team" in detail):
                self._depend_on(by)
            self.save(update_fields=[*detail, "grantors"])
            self.record(Action.API_KEY_CHANGE, by, detail, reason)

    def rotate(self, *, by: str, overlap: timedelta) -> tuple["ApiKey", str]:
        """Returns a new key in this one's place, and its text. Both work for the time of `overlap`.

        The new key has the settings, grants, quotas and lifetime of the old one. Requests of the
        old key count against the quotas that moved to the new one. Raises ValidationError.
        """
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise ValidationError({"overlap": _("Both keys can work for up to 30 days.")})
        with transaction.atomic():
            lock(self)
            self.refuse_if_over()
            successor = self._successor()
            successor._depend_on(*self.grantors, by)
            successor._show_to(by)
            text = successor._mint()
            self._give_over(successor, timezone.now() + overlap)
            overlap_s = str(int(overlap.total_seconds()))
            detail = {"replaced_by": str(successor.id), "overlap_s": overlap_s}
            self.record(Action.API_KEY_ROTATE, by, detail)
        return successor, text

    def revoke(self, *, by: str, reason: str = "") -> None:
        """Revokes the key within a second in every process. Idempotent."""
        with transaction.atomic():
            if ApiKey.objects.live().filter(pk=self.pk).update(revoked_at=timezone.now()):
                self.record(Action.API_KEY_REVOKE, by, reason=reason)
        self.refresh_from_db(fields=["revoked_at"])

    def lose_power(self, *, by: str, reason: str) -> None:
        """Removes the scopes that manage or audit; revokes the key if it has no other."""
        rest = [scope for scope in self.scopes if scope not in POWERFUL]
        if rest:
            self.change(by=by, reason=reason, scopes=rest)
        else:
            self.revoke(by=by, reason=reason)

    def own_group(self) -> Group:
        """Returns the group of the key's grants (tenants/model_access.py), made at first need."""
        if self.group is None:
            self.group = Group.objects.create(name=f"key:{self.id}")
            self.save(update_fields=["group"])
        return self.group

    def clean(self) -> None:
        """Normalizes the lists, and checks that team and maker are of the key's tenant."""
        self.scopes = sorted(set(self.scopes))
        self.allowed_models = sorted({name.strip() for name in self.allowed_models})
        problems: dict[str, Any] = {}
        try:
            self.allowed_networks = sorted(set(map(network, self.allowed_networks)))
        except ValidationError as problem:
            problems["allowed_networks"] = problem
        if "" in self.allowed_models:
            problems["allowed_models"] = _("A model has a name.")
        if self.team and self.team.tenant_id != self.tenant_id:
            problems["team"] = _("There is no such team in this tenant.")
        if self.created_by and self.created_by.tenant_id != self.tenant_id:
            problems["created_by"] = _("There is no such member in this tenant.")
        for name in ("allowed_models", "allowed_networks"):
            if len(getattr(self, name)) > MOST_ENTRIES:
                problems[name] = _("Name at most 100.")
        if problems:
            raise ValidationError(problems)

    def _depend_on(self, *actors: str) -> None:
        """Adds grantors: the key may do no more than each of them.

        A key as an actor is replaced by its grantors. The platform and its commands are none.
        """
        for actor in actors:
            kind, _colon, number = actor.partition(":")
            if kind == "key":
                self._depend_on(*self.tenant.api_keys.get(pk=number).grantors)
            elif kind in PEOPLE and actor not in self.grantors:
                self.grantors = [*self.grantors, actor]

    def _show_to(self, actor: str) -> None:
        """Sets who has seen a new key's text: its maker, or the holders of the key that made it."""
        kind, _colon, number = actor.partition(":")
        if kind == "key":
            self.holders = self.tenant.api_keys.get(pk=number).holders
        elif kind in PEOPLE:
            self.holders = [actor]

    def _mint(self) -> str:
        """Saves a new key and returns its text."""
        secret = secret_keys.mint()
        self.public_id, self.digest = secret.public_id, secret.digest
        check_time("expires_at", self.expires_at)
        self.full_clean(exclude=_NEVER_GIVEN)
        self.save(force_insert=True)
        return secret.text

    def remint(self, by: str) -> str:
        """Gives a key whose text nobody has a new one, and returns it."""
        secret = secret_keys.mint()
        self.public_id, self.digest, self.uncollected = secret.public_id, secret.digest, False
        self._depend_on(by)
        self._show_to(by)
        own = ["public_id", "digest", "uncollected", "grantors", "holders"]
        self.save(update_fields=own)
        return secret.text

    def _refuse_if_revoked(self) -> None:
        if self.revoked_at:
            raise ValidationError(_("This key has been revoked."))

    def _refuse_longer_overlap(self, **fields: Any) -> None:
        """Raises ValidationError if it was rotated, and would work for longer than it may."""
        if not self.replaced_by_id or self.expires_at is None or "expires_at" not in fields:
            return
        until = fields["expires_at"]
        if until is None or until > self.expires_at:
            raise ValidationError({"expires_at": _("This key has been rotated already.")})

    def refuse_if_over(self) -> None:
        """Raises ValidationError if it is revoked, expired or rotated."""
        self._refuse_if_revoked()
        if self.expired:
            raise ValidationError(_("This key has expired."))
        if self.replaced_by_id:
            raise ValidationError(_("This key has been rotated already."))

    def lock_in_place(self) -> None:
        """Locks the key, so that nobody rotates it meanwhile.

        Raises ValidationError for one that has been rotated: what is set for it would count no
        request, since the new key stands in its place.
        """
        lock(self)
        if self.replaced_by_id:
            raise ValidationError(_("This key has been rotated already."))

    def _successor(self) -> "ApiKey":
        settings = {name: getattr(self, name) for name in CHANGEABLE if name != "expires_at"}
        successor = ApiKey(tenant=self.tenant, created_by=self.created_by, **settings)
        successor.rotate_at = self.following(timezone.now())
        successor.rotate_days = self.rotate_days
        successor.rotation_overlap_s = self.rotation_overlap_s
        if self.expires_at:
            lifetime = min(self.expires_at, LATEST) - self.created_at
            successor.expires_at = min(timezone.now() + lifetime, LATEST)
        return successor

    def _give_over(self, successor: "ApiKey", until: datetime) -> None:
        """Moves grants, quotas, rules and widgets; older predecessors then refer to the new key."""
        if self.group:
            copy_grants(self.group, successor.own_group())
        ApiKey.objects.filter(replaced_by=self).update(replaced_by=successor)
        self.quotas.update(api_key=successor)
        self.cache_rules.update(api_key=successor)
        self.widget_keys.update(api_key=successor)
        self.replaced_by, self.rotate_at = successor, None
        self.expires_at = min(until, self.expires_at or until)
        self.save(update_fields=["replaced_by", "expires_at", "rotate_at"])

    def record(
        self, action: Action, by: str, detail: Mapping[str, object] = {}, reason: str = ""
    ) -> None:
        described = {"key": str(self.id), "name": self.name, "public_id": self.public_id, **detail}
        if reason:
            described["reason"] = reason
        act(action, actor=by, tenant_id=self.tenant_id, detail=described)
