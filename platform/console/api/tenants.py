"""Tenants. Operators open, change, suspend, resume and close them; all others see their own."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import Problem
from console.api.requester import denied
from console.api.resource import Resource, Who
from console.api.strict_input import Shape
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
        help_text="Days of the audit trail. Change it later under retention/, which has a preview.",
    )
    owner = s.EmailField(required=False, help_text="Gets an invitation, whose link is shown once.")
    EXAMPLE = {"name": "acme", "owner": "alice@acme.example", **_TENANT}


class OpenedTenant(TenantShape):
    invitation_link = s.CharField(allow_null=True, help_text="The owner's link; not shown again.")
    EXAMPLE = {**TenantShape.EXAMPLE, "invitation_link": "https://forebay.example/welcome/…/"}


class Reason(Shape):
    reason = s.CharField(max_length=LONGEST_REASON)
    EXAMPLE = {"reason": "The invoice of May is not paid."}


class TenantFilter(f.FilterSet):
    state = f.ChoiceFilter(choices=State.choices)
    tier = f.ChoiceFilter(choices=Tier.choices)
    name = f.CharFilter(lookup_expr="icontains", max_length=60)


# Fields that need a permission in the tenant, which owners have too.
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

        Operators see all of them, people the ones to which they belong, a key its own.
        """
        return self.respond_page(self._visible())

    def create(self, request: Any) -> Response:
        """Open a tenant."""
        fields = self.body()
        owner, name = fields.pop("owner", None), fields.pop("name")
        if Tenant.objects.filter(name=name).exists():
            raise Problem(409, "name_taken", _("This name is taken."))
        tenant = Tenant.open(name, by=self.actor, **fields)
        link = owner and Link.issue(
            Purpose.INVITATION, by=self.actor, email=owner, tenant=tenant, role=Role.OWNER
        )
        return self.respond(tenant, 201, at=tenant.name, invitation_link=link)

    def retrieve(self, request: Any, tenant: str) -> Response:
        """Show a tenant."""
        return self.respond(self._tenant())

    def partial_update(self, request: Any, tenant: str) -> Response:
        """Change a tenant.

        The tier is for operators; the other fields need `security:manage`, which owners hold.
        """
        fields = self.body()
        if "tier" in fields and not self.who.is_operator:
            raise denied(_("Only platform operators can do this."))
        if set(_SECURITY) & set(fields) and P.MANAGE_SECURITY not in self.who.permissions:
            raise denied(_("This requires the permission %s in the tenant.") % P.MANAGE_SECURITY)
        row = self.get_for_change(Tenant.objects.all(), pk=self.url_tenant.pk)
        row.change(by=self.actor, **fields)
        return self.respond(row)

    def suspend(self, request: Any, tenant: str) -> Response:
        """Suspend a tenant: within a second it is closed to everybody, and no data is lost."""
        return self._change_state("suspend", **self.body())

    def resume(self, request: Any, tenant: str) -> Response:
        """Let a suspended tenant in again."""
        return self._change_state("resume")

    def close(self, request: Any, tenant: str) -> Response:
        """Close a tenant for good."""
        return self._change_state("close", **self.body())

    def _change_state(self, verb: str, **fields: Any) -> Response:
        row = self._tenant()
        try:
            getattr(row, verb)(by=self.actor, **fields)
        except Closed:
            raise Problem(409, "tenant_closing", _("A closing tenant stays closed.")) from None
        return self.respond(row)

    def _tenant(self) -> Tenant:
        row: Tenant = self.get_or_404(Tenant.objects.all(), pk=self.url_tenant.pk)
        return row

    def _visible(self) -> QuerySet[Tenant]:
        if self.who.key:
            return Tenant.objects.filter(pk=self.who.key.tenant_id)
        assert self.who.user
        return Tenant.objects.visible_to(self.who.user)
