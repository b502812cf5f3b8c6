"""Quotas per day or month, for a tenant or one of its keys, members or models."""

from typing import Any
from uuid import UUID

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import Problem, bad_request
from console.api.requester import denied
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.models import Quota, QuotaNotice
from tenants.models.quota import MOST, Unit, Window
from tenants.roles import Permission as P


class QuotaShape(Shape):
    id = s.UUIDField()
    unit = s.ChoiceField(Unit.choices)
    window = s.ChoiceField(Window.choices)
    limit = s.IntegerField(help_text="Cost is in millionths of the currency.")
    key = s.UUIDField(source="api_key_id", allow_null=True)
    member = s.UUIDField(source="member_id", allow_null=True)
    model = s.CharField(help_text="Empty: every model.")
    set_by_platform = s.BooleanField(help_text="Only operators change or drop it.")
    created_at = s.DateTimeField()
    EXAMPLE = {
        "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "unit": "tokens",
        "window": "month",
        "limit": 2_000_000,
        "key": None,
        "member": None,
        "model": "",
        "set_by_platform": False,
        "created_at": "2026-01-31T08:00:00Z",
    }


class QuotaChange(Shape):
    limit = s.IntegerField(min_value=0, max_value=MOST)
    EXAMPLE = {"limit": 3_000_000}


class NewQuota(QuotaChange):
    unit = s.ChoiceField(Unit.choices)
    window = s.ChoiceField(Window.choices)
    key = s.UUIDField(required=False)
    member = s.UUIDField(required=False)
    model = s.CharField(max_length=120, required=False)
    EXAMPLE = {"unit": "tokens", "window": "month", "limit": 2_000_000}


class StandingShape(Shape):
    limit = s.IntegerField()
    raised = s.IntegerField(help_text="Added by approved raises.")
    allowed = s.IntegerField(help_text="The limit and the raises together.")
    used = s.IntegerField()
    reserved = s.IntegerField(help_text="Reserved by requests in progress.")
    remaining = s.IntegerField()
    percent = s.IntegerField()
    starts = s.DateTimeField()
    ends = s.DateTimeField()
    EXAMPLE = {
        "limit": 2_000_000,
        "raised": 0,
        "allowed": 2_000_000,
        "used": 1_600_000,
        "reserved": 4096,
        "remaining": 395_904,
        "percent": 80,
        "starts": "2026-01-31T23:00:00Z",
        "ends": "2026-02-28T23:00:00Z",
    }


class QuotaFilter(f.FilterSet):
    unit = f.ChoiceFilter(choices=Unit.choices)
    window = f.ChoiceFilter(choices=Window.choices)
    key = f.UUIDFilter(field_name="api_key")
    member = f.UUIDFilter()
    model = f.CharFilter(max_length=120)


class Quotas(Resource):
    needs = {
        "list": P.VIEW_LIMITS,
        "create": P.MANAGE_QUOTAS,
        "retrieve": P.VIEW_LIMITS,
        "partial_update": P.MANAGE_QUOTAS,
        "destroy": P.MANAGE_QUOTAS,
        "standing": P.VIEW_LIMITS,
    }
    shape = QuotaShape
    takes = {"create": NewQuota, "partial_update": QuotaChange}
    gives = {"standing": StandingShape}
    asks = {"list": QuotaFilter}

    def list(self, request: Any, tenant: str) -> Response:
        """List a tenant's quotas."""
        return self.respond_page(self.url_tenant.quotas.all())

    def create(self, request: Any, tenant: str) -> Response:
        """Create a quota.

        It also counts earlier usage of its window. Name at most one of key, member and model.
        """
        fields = self.body()
        rows = {"key": self.url_tenant.api_keys, "member": self.url_tenant.members}
        for name in rows.keys() & fields.keys():
            fields[name] = rows[name].filter(pk=fields[name]).first()
            if fields[name] is None:
                raise bad_request({name: [_("There is no such one in this tenant.")]})
        api_key = fields.pop("key", None)
        self._refuse_duplicate(fields, api_key)
        quota = Quota.set(
            self.url_tenant, by=self.actor, api_key=api_key, platform=self.who.is_operator, **fields
        )
        return self.respond(quota, 201)

    def retrieve(self, request: Any, tenant: str, quota: UUID) -> Response:
        """Show a quota."""
        return self.respond(self.get_or_404(self.url_tenant.quotas.all(), pk=quota))

    def partial_update(self, request: Any, tenant: str, quota: UUID) -> Response:
        """Change a quota's limit.

        A key cannot change its own quota, and only operators change those that the platform has
        set.
        """
        fields = self.body()
        row = self._quota_to_change(quota)
        if "limit" in fields:
            row.change(fields["limit"], by=self.actor, platform=self.who.is_operator)
        return self.respond(row)

    def destroy(self, request: Any, tenant: str, quota: UUID) -> Response:
        """Delete a quota.

        A key cannot delete its own quota, and only operators delete those that the platform has
        set.
        """
        self._quota_to_change(quota).drop(by=self.actor, platform=self.who.is_operator)
        return Response(status=204)

    def standing(self, request: Any, tenant: str, quota: UUID) -> Response:
        """Show the use of a quota in the present window."""
        row = self.get_or_404(self.url_tenant.quotas.select_related("tenant"), pk=quota)
        return Response(StandingShape(row.balance()).data)

    def _quota_to_change(self, quota: UUID) -> Quota:
        row: Quota = self.get_for_change(self.url_tenant.quotas.all(), pk=quota)
        if self.who.key and row.binds(self.who.key):
            raise denied(_("A key does not change itself."))
        if row.set_by_platform and not self.who.is_operator:
            text = _("The platform has set this quota: ask for a raise.")
            raise denied(text, "set_by_platform")
        return row

    def _refuse_duplicate(self, fields: dict[str, Any], api_key: Any) -> None:
        same = {name: fields[name] for name in ("unit", "window")}
        same |= {"member": fields.get("member"), "model": fields.get("model", "").strip()}
        if self.url_tenant.quotas.filter(api_key=api_key, **same).exists():
            raise Problem(409, "quota_exists", _("There is such a quota already: change it."))


class NoticeShape(Shape):
    id = s.IntegerField()
    quota = s.UUIDField(source="quota_id")
    percent = s.IntegerField()
    starts = s.DateTimeField(help_text="Start of the window.")
    at = s.DateTimeField()
    EXAMPLE = {
        "id": 12,
        "quota": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "percent": 80,
        "starts": "2026-01-31T23:00:00Z",
        "at": "2026-02-20T10:11:12Z",
    }


class NoticeFilter(f.FilterSet):
    quota = f.UUIDFilter()
    since = f.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = f.IsoDateTimeFilter(field_name="at", lookup_expr="lt")


class Notices(Resource):
    needs = {"list": P.VIEW_LIMITS}
    shape = NoticeShape
    asks = {"list": NoticeFilter}
    orderings = ("-at", "at")

    def list(self, request: Any, tenant: str) -> Response:
        """List the moments when quotas passed 80 % and 100 %."""
        return self.respond_page(QuotaNotice.objects.filter(tenant=self.url_tenant))
