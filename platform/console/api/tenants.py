"""Tenants. Operators open, change, suspend, resume and close them; the others see their own."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import Problem
from console.api.requester import denied
from console.api.resource import Resource, Who
from console.api.strict import Shape
from tenants.models import Link, Tenant
from tenants.models.link import Purpose
from tenants.models.origin import LONGEST_ORIGIN, MOST_ORIGINS
from tenants.models.tenant import LONGEST_REASON, RETENTION_FLOOR_DAYS, Closed, State
from tenants.models.tier import Tier
from tenants.roles import Permission as P
from tenants.roles import Profile, Role

_TENANT = {
    "tier": "standard",
    "profile": "asvs-5",
    "local_only": False,
    "retention_days": 200,
    "time_zone": "Europe/Berlin",
    "allowed_origins": ["https://app.acme.example"],
}
_MOST_DAYS = 36_500


class TenantShape(Shape):
    id = s.UUIDField()
    name = s.CharField()
    tier = s.ChoiceField(Tier.choices)
    state = s.ChoiceField(State.choices)
    profile = s.ChoiceField(Profile.choices)
    local_only = s.BooleanField()
    retention_days = s.IntegerField()
    time_zone = s.CharField()
    allowed_origins = s.ListField(
        child=s.CharField(), help_text="Web pages that may use its keys from a browser."
    )
    created_at = s.DateTimeField()
    EXAMPLE = {
        "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "name": "acme",
        **_TENANT,
        "state": "active",
        "created_at": "2026-01-31T08:00:00Z",
    }


class TenantChange(Shape):
    tier = s.ChoiceField(Tier.choices, required=False)
    profile = s.ChoiceField(Profile.choices, required=False)
    local_only = s.BooleanField(required=False)
    time_zone = s.CharField(max_length=60, required=False)
    allowed_origins = s.ListField(
        child=s.CharField(max_length=LONGEST_ORIGIN), required=False, max_length=MOST_ORIGINS
    )
    EXAMPLE = {"tier": "vip"}


class NewTenant(TenantChange):
    name = s.RegexField(r"^[a-z0-9][a-z0-9-]*$", max_length=60)
    retention_days = s.IntegerField(
        min_value=RETENTION_FLOOR_DAYS,
        max_value=_MOST_DAYS,
        required=False,
        help_text="Of the audit trail; changed later under retention/, which can tell what goes.",
    )
    owner = s.EmailField(required=False, help_text="Gets an invitation; its link is answered once.")
    EXAMPLE = {"name": "acme", "owner": "alice@acme.example", **_TENANT}


class OpenedTenant(TenantShape):
    invitation_link = s.CharField(allow_null=True, help_text="The owner's; not shown again.")
    EXAMPLE = {**TenantShape.EXAMPLE, "invitation_link": "https://forebay.example/welcome/…/"}


class Reason(Shape):
    reason = s.CharField(max_length=LONGEST_REASON)
    EXAMPLE = {"reason": "The invoice of May is not paid."}


class TenantFilter(f.FilterSet):
    state = f.ChoiceFilter(choices=State.choices)
    tier = f.ChoiceFilter(choices=Tier.choices)
    name = f.CharFilter(lookup_expr="icontains", max_length=60)


# Which changes need more than being an operator, and which an owner may make too.
_SECURITY = ("profile", "local_only", "time_zone", "allowed_origins")


class Tenants(Resource):
    needs = {
        "list": Who.ANYBODY,
        "create": Who.OPERATOR,
        "retrieve": P.VIEW_LIMITS,
        "partial_update": P.VIEW_LIMITS,
        "suspend": Who.OPERATOR,
        "resume": Who.OPERATOR,
        "close": Who.OPERATOR,
    }
    shape = TenantShape
    takes = {
        "create": NewTenant,
        "partial_update": TenantChange,
        "suspend": Reason,
        "close": Reason,
    }
    gives = {"create": OpenedTenant}
    asks = {"list": TenantFilter}
    orderings = ("name", "-name", "created_at", "-created_at")

    def list(self, request: Any) -> Response:
        """List tenants.

        Operators see all of them, people those that they belong to, a key its own.
        """
        return self.listed(self._visible())

    def create(self, request: Any) -> Response:
        """Open a tenant."""
        given = self.given()
        owner, name = given.pop("owner", None), given.pop("name")
        if Tenant.objects.filter(name=name).exists():
            raise Problem(409, "name_taken", _("This name is taken."))
        tenant = Tenant.open(name, by=self.by, **given)
        link = owner and Link.issue(
            Purpose.INVITATION, by=self.by, email=owner, tenant=tenant, role=Role.OWNER
        )
        return self.one(tenant, 201, at=tenant.name, invitation_link=link)

    def retrieve(self, request: Any, tenant: str) -> Response:
        """Show a tenant."""
        return self.one(self._fresh())

    def partial_update(self, request: Any, tenant: str) -> Response:
        """Change a tenant.

        The tier is for operators; the other fields need `security:manage`, which owners hold.
        """
        given = self.given()
        if "tier" in given and not self.who.is_operator:
            raise denied(_("Only platform operators can do this."))
        if set(_SECURITY) & set(given) and P.MANAGE_SECURITY not in self.who.permissions:
            raise denied(_("This requires the permission %s in the tenant.") % P.MANAGE_SECURITY)
        found = self.to_change(Tenant.objects.all(), pk=self.inside.pk)
        found.change(by=self.by, **given)
        return self.one(found)

    def suspend(self, request: Any, tenant: str) -> Response:
        """Suspend a tenant: within a second nobody comes in, nothing is lost."""
        return self._life("suspend", **self.given())

    def resume(self, request: Any, tenant: str) -> Response:
        """Let a suspended tenant in again."""
        return self._life("resume")

    def close(self, request: Any, tenant: str) -> Response:
        """Close a tenant for good."""
        return self._life("close", **self.given())

    def _life(self, verb: str, **given: Any) -> Response:
        found = self._fresh()
        try:
            getattr(found, verb)(by=self.by, **given)
        except Closed:
            raise Problem(409, "tenant_closing", _("A closing tenant stays closed.")) from None
        return self.one(found)

    def _fresh(self) -> Tenant:
        found: Tenant = self.found(Tenant.objects.all(), pk=self.inside.pk)
        return found

    def _visible(self) -> QuerySet[Tenant]:
        if self.who.key:
            return Tenant.objects.filter(pk=self.who.key.tenant_id)
        assert self.who.user
        return Tenant.objects.visible_to(self.who.user)
