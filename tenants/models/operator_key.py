"""Keys with which programs operate the platform."""

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from tenants import secret_keys
from tenants.models.api_key import MOST_ENTRIES, network
from tenants.models.tier import DEFAULTS
from tenants.models.user import User
from tenants.operator_scopes import OperatorScope

LONGEST_LIFE = timedelta(days=366)
MOST_LIVE = 100  # unrevoked keys of one maker, including expired ones
USE_NOTED_EVERY = timedelta(seconds=10)
REQUESTS_PER_MINUTE = DEFAULTS["requests_per_minute"]
_NEVER_GIVEN = ("digest", "revoked_at", "last_used_at")


class OperatorKeyQuerySet(models.QuerySet["OperatorKey"]):
    def live(self) -> "OperatorKeyQuerySet":
        return self.filter(revoked_at=None)

    def working(self) -> "OperatorKeyQuerySet":
        """Returns keys that are valid now: a key ends with its maker's role as an operator."""
        makers = {"created_by__is_active": True, "created_by__is_operator": True}
        return self.live().filter(expires_at__gt=timezone.now(), **makers)

    def revoke_those_of(self, maker: User, *, by: str) -> None:
        """Revokes a maker's keys for good: an operator who returns makes new ones."""
        for key in self.live().filter(created_by=maker):
            key.revoke(by=by, reason="its maker was removed")


class OperatorKey(models.Model):
    """A secret with which a program operates the platform. Its text is shown once, never stored."""

    seen_by_person = "created_by_id = {person}"  # a rule of row security

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=80)
    public_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField(unique=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="operator_keys")
    scopes = ArrayField(
        models.CharField(max_length=20, choices=OperatorScope), verbose_name=_("scopes")
    )
    allowed_networks = ArrayField(  # CIDR; empty: from anywhere
        models.CharField(max_length=43), default=list, blank=True, verbose_name=_("addresses")
    )
    requests_per_minute = models.PositiveIntegerField(  # 0: no limit
        _("requests per minute"), default=REQUESTS_PER_MINUTE
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    objects: ClassVar[OperatorKeyQuerySet] = OperatorKeyQuerySet.as_manager()  # type: ignore[assignment]  # as of ApiKey

    def __str__(self) -> str:
        return f"{self.name} ({secret_keys.OPERATOR_PREFIX}{self.public_id}…)"

    @property
    def actor(self) -> str:
        return f"operator_key:{self.id}"

    @property
    def expired(self) -> bool:
        return self.expires_at <= timezone.now()

    @property
    def described(self) -> dict[str, str]:
        """The facts of the key that each of its acts records: name and maker."""
        maker = self.created_by.actor if self.created_by else ""
        return {"key_name": self.name, "made_by": maker}

    @classmethod
    def issue(cls, maker: User, name: str, **settings: Any) -> tuple["OperatorKey", str]:
        """Returns the new key and its text, which cannot be shown again. Raises ValidationError.

        `settings`: scopes, expires_at, and optionally allowed_networks and requests_per_minute.
        Callers use `tenants.accounts.operator_keys.make`, which requires a second factor.
        """
        secret = secret_keys.mint(secret_keys.OPERATOR_PREFIX)
        key = cls(name=name, created_by=maker, **settings)
        key.public_id, key.digest = secret.public_id, secret.digest
        with transaction.atomic():
            key.full_clean(exclude=_NEVER_GIVEN)
            _refuse_too_many(maker)
            key.save(force_insert=True)
            key._record(Action.OPERATOR_KEY_CREATE, by=maker.actor, scopes=key.scopes)
        return key, secret.text

    def revoke(self, *, by: str, reason: str = "") -> None:
        """Revokes the key from the next request on, as each one looks it up. Idempotent."""
        with transaction.atomic():
            keys = OperatorKey.objects.live().filter(pk=self.pk)
            if keys.update(revoked_at=timezone.now()):
                why = {"reason": reason} if reason else {}
                self._record(Action.OPERATOR_KEY_REVOKE, by=by, **why)
        self.refresh_from_db(fields=["revoked_at"])

    def note_use(self) -> None:
        """Records the time of use, every ten seconds at most."""
        now = timezone.now()
        if self.last_used_at is None or self.last_used_at <= now - USE_NOTED_EVERY:
            OperatorKey.objects.filter(pk=self.pk).update(last_used_at=now)

    def clean(self) -> None:
        problems: dict[str, object] = {}
        self.scopes = sorted(set(self.scopes))
        if not self.name.isprintable():  # such a name could reorder a line of a tenant's trail
            problems["name"] = _("It holds characters that cannot be printed.")
        try:
            self.allowed_networks = sorted(set(map(network, self.allowed_networks)))
        except ValidationError as problem:
            problems["allowed_networks"] = problem
        if len(self.allowed_networks) > MOST_ENTRIES:
            problems["allowed_networks"] = _("Name at most 100.")
        if wrong := _problem_of_life(self.expires_at):
            problems["expires_at"] = wrong
        if problems:
            raise ValidationError(problems)

    def _record(self, action: Action, *, by: str, **more: object) -> None:
        described = {"name": self.name, "public_id": self.public_id}
        act(action, actor=by, detail={"operator_key": str(self.id), **described, **more})


def _refuse_too_many(maker: User) -> None:
    """Locks the maker until the transaction ends. Raises ValidationError."""
    User.objects.select_for_update(no_key=True).get(pk=maker.pk)
    if OperatorKey.objects.live().filter(created_by=maker).count() >= MOST_LIVE:
        raise ValidationError(
            _("You have %(most)s operator keys: revoke those that are not used."),
            params={"most": MOST_LIVE},
        )


def _problem_of_life(expires_at: datetime | None) -> str:
    if expires_at is None:
        return ""  # the field's own validation reports it
    if timezone.is_naive(expires_at):
        return str(_("Say in which time zone."))
    if expires_at <= timezone.now():
        return str(_("Choose a time that is still to come."))
    if expires_at > timezone.now() + LONGEST_LIFE:
        return str(_("An operator key lives for a year at most."))
    return ""
