"""API keys: issued, shown once, changed, rotated, revoked. Nobody gives more than they have."""

from datetime import timedelta
from typing import Any

import django_filters as f
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, filters, listing, showing
from console.api.limits.limits import LimitsChange, OwnLimits
from console.api.problem import denied
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from tenants.key_scopes import key_permissions
from tenants.model_access import reaches_beyond
from tenants.models import ApiKey, Member, OperatorKey, Scope
from tenants.models.api_key import LONGEST_OVERLAP, MOST_ENTRIES, OFFERED
from tenants.models.key_permissions import wider
from tenants.models.key_schedule import MOST_DAYS
from tenants.roles import Permission as P

LIVE, EXPIRED, REVOKED = "live", "expired", "revoked"


def _in_state(rows: QuerySet[Any], _name: str, state: str) -> QuerySet[Any]:
    expired = Q(expires_at__lte=timezone.now())
    if state == REVOKED:
        return rows.exclude(revoked_at=None)
    unrevoked = rows.filter(revoked_at=None)
    return unrevoked.filter(expired) if state == EXPIRED else unrevoked.exclude(expired)


def _with_scope(rows: QuerySet[ApiKey], _name: str, scope: str) -> QuerySet[ApiKey]:
    return rows.filter(scopes__contains=[scope])


STATE = f.ChoiceFilter(
    choices=[(LIVE, _("Live")), (EXPIRED, _("Expired")), (REVOKED, _("Revoked"))],
    method=_in_state,
)


class AnyKeyShape(Row):
    name = s.CharField()
    public_id = s.CharField(help_text="The public part of the key's text.")
    state = s.SerializerMethodField()
    allowed_networks = s.ListField(child=s.CharField(), help_text="Empty: from any address.")
    revoked_at = s.DateTimeField(allow_null=True)
    last_used_at = s.DateTimeField(allow_null=True)

    def get_state(self, key: ApiKey | OperatorKey) -> str:
        if key.revoked_at:
            return REVOKED
        return EXPIRED if key.expired else LIVE


class KeyShape(AnyKeyShape, OwnLimits):
    scopes = s.ListField(child=s.ChoiceField(Scope.choices))
    allowed_models = s.ListField(child=s.CharField(), help_text="Empty: every model.")
    local_only = s.BooleanField(
        help_text="Its requests never leave this installation. A tenant can be local-only as well."
    )
    team = s.UUIDField(source="team_id", allow_null=True)
    created_by = s.UUIDField(source="created_by_id", allow_null=True, help_text="The issuer.")
    depends_on = s.ListField(
        source="grantors",
        child=s.CharField(),
        help_text="Actors who made, widened or rotated it. It may no more than each of them may "
        "today. Empty: the platform's.",
    )
    expires_at = s.DateTimeField(allow_null=True)
    replaced_by = s.UUIDField(source="replaced_by_id", allow_null=True)
    rotate_at = s.DateTimeField(allow_null=True, help_text="When it rotates by itself.")
    rotate_days = s.IntegerField(allow_null=True, help_text="Every so many days from then on.")
    rotation_overlap_s = s.IntegerField(help_text="How long the old key then works beside it.")
    uncollected = s.BooleanField(
        help_text="A schedule made it: its text is made when somebody collects it, once."
    )
    EXAMPLE = {"public_id": "a1B2c3D4e5F6", "state": "live", "scopes": ["inference"]}


class IssuedKey(KeyShape):
    secret = s.CharField(help_text="The key's text. It is in this answer only.")
    EXAMPLE = {**KeyShape.EXAMPLE, "secret": "sk-fb-…"}


class KeyChange(LimitsChange):
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
    expires_at = s.DateTimeField(allow_null=True, required=False)
    EXAMPLE = {"name": "build server", "requests_per_minute": 60}


class NewKey(KeyChange):
    name = s.CharField(max_length=80)
    EXAMPLE = {"scopes": ["inference"], "requests_per_minute": 60}


class Rotation(Shape):
    overlap_s = s.IntegerField(
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds()),
        default=86_400,
        help_text="How long the old key works beside the new one.",
    )
    EXAMPLE = {"overlap_s": 3600}


class Schedule(Shape):
    rotate_at = s.DateTimeField(allow_null=True, help_text="Null ends the schedule.")
    days = s.IntegerField(min_value=1, max_value=MOST_DAYS, allow_null=True, default=None)
    overlap_s = s.IntegerField(
        min_value=0, max_value=int(LONGEST_OVERLAP.total_seconds()), default=86_400
    )
    EXAMPLE = {"days": 90, "overlap_s": 86_400}


class Keys(Resource):
    shape = KeyShape
    orderings = ("-created_at", "created_at", "name", "-name")
    volatile = ("last_used_at", "state")

    def rows(self) -> Any:
        return self.url_tenant.api_keys.all()

    list = listing(
        P.VIEW_KEYS,
        "List a tenant's keys.",
        asks=filters(
            state=STATE,
            name=f.CharFilter(lookup_expr="icontains", max_length=80),
            team=f.UUIDFilter(),
            created_by=f.UUIDFilter(),
            scope=f.ChoiceFilter(choices=Scope.choices, method=_with_scope),
        ),
    )
    retrieve = showing(P.VIEW_KEYS, "Show a key.")
    revoke = calling(
        "revoke",
        P.MANAGE_KEYS,
        "Revoke a key: within a second it is refused everywhere.\n\n"
        "Revoking it again changes nothing.",
    )

    @Act(P.MANAGE_KEYS, takes=NewKey, gives=IssuedKey)
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

    @Act(P.MANAGE_KEYS, takes=KeyChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Change a key.

        A key cannot change itself. It depends on everybody who has widened it: it may do no more
        than the weakest of them may today.
        """
        settings = self._settings()
        row = self.row_to_change()
        self._refuse_self(row)
        self._refuse_escalation(row)
        row.change(by=self.actor, **settings)
        self._refuse_escalation(row)
        return self.respond(row)

    @Act(P.MANAGE_KEYS, takes=Rotation, gives=IssuedKey, creates=True)
    def rotate(self, request: Any, **path: Any) -> Response:
        """Replace a key with a new one.

        Both work while they overlap. A key cannot rotate itself. The new key also depends on the
        person who rotates it.
        """
        overlap = timedelta(seconds=self.body()["overlap_s"])
        row = self.row()
        self._refuse_self(row)
        self._refuse_escalation(row)
        self._refuse_quota_escape()
        successor, text = row.rotate(by=self.actor, overlap=overlap)
        self._refuse_escalation(successor)
        answer = self.respond(successor, 201, secret=text)
        answer["Location"] = request.path.replace(f"/{row.pk}/rotate/", f"/{successor.pk}/")
        return answer

    @Act(P.MANAGE_KEYS, takes=Schedule)
    def schedule(self, request: Any, **path: Any) -> Response:
        """Have a key rotate by itself at a time, and every so many days from then on.

        Then it has a successor whose text is made when somebody collects it. The old key works
        until the overlap ends, collected or not. A key cannot schedule its own rotation.
        """
        row = self.row()
        fields = self.body()
        self._refuse_self(row)
        self._refuse_escalation(row)
        overlap = timedelta(seconds=fields.pop("overlap_s"))
        row.schedule(by=self.actor, overlap=overlap, **fields)
        return self.respond(row)

    @Act(P.MANAGE_KEYS, gives=IssuedKey)
    def collect(self, request: Any, **path: Any) -> Response:
        """Collect the text of a key that a schedule has made.

        Its text is in this answer only. The key also depends on the person who collects it. A key
        cannot collect its own successor: whoever stole it would have the next one, too.
        """
        row = self.row()
        self._refuse_self(row)
        self._refuse_escalation(row)
        self._refuse_quota_escape()
        text = row.collect(by=self.actor)
        self._refuse_escalation(row)
        return self.respond(row, secret=text)

    def _settings(self) -> dict[str, Any]:
        settings = self.body()
        if settings.get("team") is not None:
            text = _("There is no such team in this tenant.")
            team = self.named(self.url_tenant.teams, "team", text, pk=settings["team"])
            settings["team"] = team
        return settings

    def _refuse_self(self, key: ApiKey) -> None:
        if self.who.key and key.pk in (self.who.key.pk, self.who.key.replaced_by_id):
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


def scopes_to_give(permissions: frozenset[P], profile: str) -> frozenset[str]:
    """Returns the scopes whose permissions are all among those of the giver.

    See tenants/models/key_permissions.py.
    """
    return frozenset(s.value for s in Scope if key_permissions([s], profile) <= permissions)
