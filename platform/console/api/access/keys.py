"""API keys: issued, shown once, changed, rotated, revoked. Nobody gives more than they have."""

from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import django_filters as f
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.access.scopes_to_give import scopes_to_give
from console.api.limits.limits import figure
from console.api.problem import bad_request
from console.api.requester import denied
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.model_access import reaches_beyond
from tenants.models import ApiKey, Member, OperatorKey, Scope
from tenants.models.api_key import LONGEST_OVERLAP, MOST_ENTRIES, OFFERED
from tenants.models.key_powers import wider
from tenants.roles import Permission as P

K = TypeVar("K", ApiKey, OperatorKey)
LIVE, EXPIRED, REVOKED = "live", "expired", "revoked"
STATES = [(LIVE, _("Live")), (EXPIRED, _("Expired")), (REVOKED, _("Revoked"))]


def state_of(key: ApiKey | OperatorKey) -> str:
    if key.revoked_at:
        return REVOKED
    return EXPIRED if key.expired else LIVE


def in_state(rows: QuerySet[K], state: str) -> QuerySet[K]:
    expired = Q(expires_at__lte=timezone.now())
    if state == REVOKED:
        return rows.exclude(revoked_at=None)
    unrevoked = rows.filter(revoked_at=None)
    return unrevoked.filter(expired) if state == EXPIRED else unrevoked.exclude(expired)


class KeyShape(Shape):
    id = s.UUIDField()
    name = s.CharField()
    public_id = s.CharField(help_text="The public part of the key's text.")
    state = s.SerializerMethodField()
    scopes = s.ListField(child=s.ChoiceField(Scope.choices))
    allowed_models = s.ListField(child=s.CharField(), help_text="Empty: every model.")
    allowed_networks = s.ListField(child=s.CharField(), help_text="Empty: from any address.")
    local_only = s.BooleanField(
        help_text="Its requests never leave this installation. A tenant can be local-only as well."
    )
    team = s.UUIDField(source="team_id", allow_null=True)
    requests_per_minute = s.IntegerField(allow_null=True)
    burst = s.IntegerField(allow_null=True)
    tokens_per_minute = s.IntegerField(allow_null=True)
    max_concurrency = s.IntegerField(allow_null=True)
    megabytes_in_flight = s.IntegerField(allow_null=True)
    megabytes_per_day = s.IntegerField(allow_null=True)
    created_by = s.UUIDField(source="created_by_id", allow_null=True, help_text="The issuer.")
    depends_on = s.ListField(
        source="grantors",
        child=s.CharField(),
        help_text="Actors who made, widened or rotated it. It may no more than each of them may "
        "today. Empty: the platform's.",
    )
    created_at = s.DateTimeField()
    expires_at = s.DateTimeField(allow_null=True)
    revoked_at = s.DateTimeField(allow_null=True)
    last_used_at = s.DateTimeField(allow_null=True)
    replaced_by = s.UUIDField(source="replaced_by_id", allow_null=True)
    EXAMPLE = {
        "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "name": "build server",
        "public_id": "a1B2c3D4e5F6",
        "state": "live",
        "scopes": ["inference"],
        "allowed_models": [],
        "allowed_networks": ["192.0.2.0/24"],
        "local_only": False,
        "team": None,
        "requests_per_minute": 60,
        "burst": None,
        "tokens_per_minute": None,
        "max_concurrency": None,
        "megabytes_in_flight": None,
        "megabytes_per_day": None,
        "created_by": "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "depends_on": ["member:0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e"],
        "created_at": "2026-01-31T08:00:00Z",
        "expires_at": "2026-05-01T08:00:00Z",
        "revoked_at": None,
        "last_used_at": None,
        "replaced_by": None,
    }

    def get_state(self, key: ApiKey) -> str:
        return state_of(key)


class IssuedKey(KeyShape):
    secret = s.CharField(help_text="The key's text. It is in this answer only.")
    EXAMPLE = {**KeyShape.EXAMPLE, "secret": "sk-fb-…"}


class KeyChange(Shape):
    name = s.CharField(max_length=80, required=False)
    scopes = s.ListField(
        child=s.ChoiceField([scope.value for scope in OFFERED]),
        min_length=1,
        max_length=len(OFFERED),
        required=False,
    )
    allowed_models = s.ListField(
        child=s.CharField(max_length=120), max_length=MOST_ENTRIES, required=False
    )
    allowed_networks = s.ListField(
        child=s.CharField(max_length=43), max_length=MOST_ENTRIES, required=False
    )
    local_only = s.BooleanField(required=False)
    team = s.UUIDField(allow_null=True, required=False)
    requests_per_minute = figure(null=True)
    burst = figure(null=True)
    tokens_per_minute = figure(null=True)
    max_concurrency = figure(null=True)
    megabytes_in_flight = figure(null=True)
    megabytes_per_day = figure(null=True)
    expires_at = s.DateTimeField(allow_null=True, required=False)
    EXAMPLE = {"name": "build server", "requests_per_minute": 60}


class NewKey(KeyChange):
    name = s.CharField(max_length=80)
    EXAMPLE = {"name": "build server", "scopes": ["inference"], "requests_per_minute": 60}


class Rotation(Shape):
    overlap_s = s.IntegerField(
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds()),
        default=86_400,
        help_text="How long the old key works beside the new one.",
    )
    EXAMPLE = {"overlap_s": 3600}


class KeyFilter(f.FilterSet):
    state = f.ChoiceFilter(choices=STATES, method="in_state")
    name = f.CharFilter(lookup_expr="icontains", max_length=80)
    team = f.UUIDFilter()
    created_by = f.UUIDFilter()
    scope = f.ChoiceFilter(choices=Scope.choices, method="with_scope")

    def in_state(self, rows: QuerySet[ApiKey], name: str, value: str) -> QuerySet[ApiKey]:
        return in_state(rows, value)

    def with_scope(self, rows: QuerySet[ApiKey], name: str, value: str) -> QuerySet[ApiKey]:
        return rows.filter(scopes__contains=[value])


class Keys(Resource):
    needs = {
        "list": P.VIEW_KEYS,
        "create": P.MANAGE_KEYS,
        "retrieve": P.VIEW_KEYS,
        "partial_update": P.MANAGE_KEYS,
        "rotate": P.MANAGE_KEYS,
        "revoke": P.MANAGE_KEYS,
    }
    shape = KeyShape
    takes = {"create": NewKey, "partial_update": KeyChange, "rotate": Rotation}
    gives = {"create": IssuedKey, "rotate": IssuedKey}
    creates = ("create", "rotate")
    asks = {"list": KeyFilter}
    orderings = ("-created_at", "created_at", "name", "-name")
    volatile = ("last_used_at", "state")

    def list(self, request: Any, tenant: str) -> Response:
        """List a tenant's keys."""
        return self.respond_page(self.url_tenant.api_keys.all())

    def create(self, request: Any, tenant: str) -> Response:
        """Issue a key.

        Its text is in this answer only. The issuer must have all permissions of its scopes. A key
        issues only keys that may do no more than itself; a key with a quota of its own issues none.
        """
        settings = self._settings()
        self._refuse_quota_escape()
        key, text = ApiKey.issue(
            self.url_tenant, by=self.actor, created_by=self._creator(), **settings
        )
        self._refuse_escalation(key)
        return self.respond(key, 201, secret=text)

    def retrieve(self, request: Any, tenant: str, key: UUID) -> Response:
        """Show a key."""
        return self.respond(self.get_or_404(self.url_tenant.api_keys.all(), pk=key))

    def partial_update(self, request: Any, tenant: str, key: UUID) -> Response:
        """Change a key.

        A key cannot change itself. It depends on everybody who has widened it: it may do no more
        than the weakest of them may today.
        """
        settings = self._settings()
        row = self.get_for_change(self.url_tenant.api_keys.all(), pk=key)
        self._refuse_self(row)
        self._refuse_escalation(row)
        row.change(by=self.actor, **settings)
        self._refuse_escalation(row)
        return self.respond(row)

    def rotate(self, request: Any, tenant: str, key: UUID) -> Response:
        """Replace a key with a new one.

        Both work while they overlap. A key cannot rotate itself. The new key also depends on the
        person who rotates it.
        """
        overlap = timedelta(seconds=self.body()["overlap_s"])
        row = self.get_or_404(self.url_tenant.api_keys.all(), pk=key)
        self._refuse_self(row)
        self._refuse_escalation(row)
        self._refuse_quota_escape()
        successor, text = row.rotate(by=self.actor, overlap=overlap)
        self._refuse_escalation(successor)
        answer = self.respond(successor, 201, secret=text)
        answer["Location"] = request.path.replace(f"/{key}/rotate/", f"/{successor.pk}/")
        return answer

    def revoke(self, request: Any, tenant: str, key: UUID) -> Response:
        """Revoke a key: within a second it is refused everywhere.

        Revoking it again changes nothing.
        """
        row = self.get_or_404(self.url_tenant.api_keys.all(), pk=key)
        row.revoke(by=self.actor)
        return self.respond(row)

    def _settings(self) -> dict[str, Any]:
        settings = self.body()
        if (team := settings.get("team")) is not None:
            settings["team"] = self.url_tenant.teams.filter(pk=team).first()
            if settings["team"] is None:
                raise bad_request({"team": [_("There is no such team in this tenant.")]})
        return settings

    def _refuse_self(self, key: ApiKey) -> None:
        if self.who.key and self.who.key.pk == key.pk:
            raise denied(_("A key does not change itself."))

    def _creator(self) -> Member | None:
        return self.who.key.created_by if self.who.key else self.who.member

    def _refuse_quota_escape(self) -> None:
        """Refuses a key with a quota of its own: its issued keys would not count against it."""
        if self.who.key:
            own = [self.who.key.pk, self.who.key.replaced_by_id]
            if self.url_tenant.quotas.filter(api_key__in=own).exists():
                raise denied(_("A key with a quota of its own gives out no keys."))

    def _refuse_escalation(self, key: ApiKey) -> None:
        """Refuses a key that may do more than its issuer. The Problem undoes the change."""
        manages = P.MANAGE_TEAMS in self.who.permissions
        if not manages and reaches_beyond(key, self._creator()):
            raise denied(_("This key reaches a team or a model that you do not."))
        if not set(key.scopes) <= scopes_to_give(self.who.permissions, self.url_tenant.profile):
            raise denied(_("These scopes allow more than you may do here."))
        if self.who.key and (fields := wider(key, self.who.key)):
            raise denied(_("A key gives no more than it has: %s.") % ", ".join(fields))
