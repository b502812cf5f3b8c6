"""Quotas per day, month or session, of a tenant, key, member, team or model; their raises."""

from datetime import datetime
from typing import Any

import django_filters as f
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, filters, listing, showing
from console.api.problem import Problem, denied
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from tenants.models import Quota, QuotaNotice
from tenants.models.quotas.balance import Balance
from tenants.models.quotas.quota import MOST, Unit, Window
from tenants.models.quotas.quota_raise import (
    AlreadyDecided,
    Expired,
    OperatorsOnly,
    QuotaRaise,
    RaiseState,
    SamePerson,
)
from tenants.roles import Permission as P


class QuotaShape(Row):
    unit = s.ChoiceField(Unit.choices)
    window = s.ChoiceField(Window.choices)
    limit = s.IntegerField(help_text="Cost is in millionths of the currency.")
    key = s.UUIDField(source="api_key_id", allow_null=True)
    member = s.UUIDField(source="member_id", allow_null=True)
    team = s.UUIDField(source="team_id", allow_null=True)
    model = s.CharField(help_text="Empty: every model.")
    set_by_platform = s.BooleanField(help_text="Only operators change or drop it.")
    EXAMPLE = {"unit": "tokens", "limit": 2_000_000, "model": ""}


class QuotaChange(Shape):
    limit = s.IntegerField(min_value=0, max_value=MOST)
    EXAMPLE = {"limit": 3_000_000}


class NewQuota(QuotaChange):
    unit = s.ChoiceField(Unit.choices)
    window = s.ChoiceField(Window.choices)
    key = s.UUIDField(required=False)
    member = s.UUIDField(required=False)
    team = s.UUIDField(required=False)
    model = s.CharField(max_length=120, required=False)


class StandingShape(Shape):
    limit = s.IntegerField()
    raised = s.IntegerField(help_text="Added by approved raises.")
    allowed = s.IntegerField(help_text="The limit and the raises together.")
    used = s.IntegerField()
    reserved = s.IntegerField(help_text="Reserved by requests in progress.")
    remaining = s.IntegerField()
    percent = s.IntegerField()
    starts = s.SerializerMethodField(help_text="Null of a quota per session.")
    ends = s.SerializerMethodField(help_text="Null of a quota per session.")
    session = s.UUIDField(allow_null=True, help_text="Of a quota per session: the fullest one.")
    EXAMPLE = {"limit": 100, "raised": 0, "allowed": 100, "used": 80, "remaining": 8, "percent": 80}

    def get_starts(self, balance: Balance) -> datetime | None:
        return None if balance.of_session else balance.starts

    def get_ends(self, balance: Balance) -> datetime | None:
        return None if balance.of_session else balance.ends


class Quotas(Resource):
    shape = QuotaShape

    def rows(self) -> Any:
        return self.url_tenant.quotas.all()

    list = listing(
        P.VIEW_LIMITS,
        "List a tenant's quotas.",
        asks=filters(
            unit=f.ChoiceFilter(choices=Unit.choices),
            window=f.ChoiceFilter(choices=Window.choices),
            key=f.UUIDFilter(field_name="api_key"),
            member=f.UUIDFilter(),
            team=f.UUIDFilter(),
            model=f.CharFilter(max_length=120),
        ),
    )
    retrieve = showing(P.VIEW_LIMITS, "Show a quota.")

    @Act(P.MANAGE_QUOTAS, takes=NewQuota)
    def create(self, request: Any, **path: Any) -> Response:
        """Create a quota.

        It also counts earlier usage of its window. Name at most one of key, member, team and model.
        A team's requests are those of its keys, and of members who are in no other team.
        """
        fields = self.body()
        tenant = self.url_tenant
        rows = {"key": tenant.api_keys, "member": tenant.members, "team": tenant.teams}
        for name in rows.keys() & fields.keys():
            text = _("There is no such one in this tenant.")
            fields[name] = self.named(rows[name], name, text, pk=fields[name])
        api_key = fields.pop("key", None)
        self._refuse_duplicate(fields, api_key)
        quota = Quota.set(
            self.url_tenant, by=self.actor, api_key=api_key, platform=self.who.is_operator, **fields
        )
        return self.respond(quota, 201)

    @Act(P.MANAGE_QUOTAS, takes=QuotaChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Change a quota's limit.

        A key cannot change its own quota, and only operators change those that the platform has
        set.
        """
        fields = self.body()
        row = self._quota_to_change()
        if "limit" in fields:
            row.change(fields["limit"], by=self.actor, platform=self.who.is_operator)
        return self.respond(row)

    @Act(P.MANAGE_QUOTAS)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Delete a quota.

        A key cannot delete its own quota, and only operators delete those that the platform has
        set.
        """
        self._quota_to_change().drop(by=self.actor, platform=self.who.is_operator)
        return Response(status=204)

    @Act(P.VIEW_LIMITS, gives=StandingShape)
    def standing(self, request: Any, **path: Any) -> Response:
        """Show the use of a quota in the present window, or of the fullest session."""
        row = self.row(self.rows().select_related("tenant"))
        return Response(StandingShape(row.balance()).data)

    def _quota_to_change(self) -> Quota:
        row: Quota = self.row_to_change()
        if self.who.key and row.binds(self.who.key):
            raise denied(_("A key does not change itself."))
        if row.set_by_platform and not self.who.is_operator:
            text = _("The platform has set this quota: ask for an increase.")
            raise denied(text, "set_by_platform")
        return row

    def _refuse_duplicate(self, fields: dict[str, Any], api_key: Any) -> None:
        same = {name: fields[name] for name in ("unit", "window")}
        same |= {name: fields.get(name) for name in ("member", "team")}
        same["model"] = fields.get("model", "").strip()
        if self.rows().filter(api_key=api_key, **same).exists():
            raise Problem(409, "quota_exists", _("There is such a quota already: change it."))


class NoticeShape(Shape):
    id = s.IntegerField()
    quota = s.UUIDField(source="quota_id")
    percent = s.IntegerField()
    starts = s.DateTimeField(help_text="Start of the window.")
    at = s.DateTimeField()
    EXAMPLE = {"percent": 80}


class Notices(Resource):
    shape = NoticeShape
    orderings = ("-at", "at")

    def rows(self) -> Any:
        return QuotaNotice.objects.filter(tenant=self.url_tenant)

    list = listing(
        P.VIEW_LIMITS,
        "List the moments when quotas passed 80 % and 100 %.",
        asks=filters(
            quota=f.UUIDFilter(),
            since=f.IsoDateTimeFilter(field_name="at", lookup_expr="gte"),
            until=f.IsoDateTimeFilter(field_name="at", lookup_expr="lt"),
        ),
    )


# Temporary raises: one person asks, another decides. Keys only read -----------------------------
class RaiseShape(Shape):
    id = s.UUIDField()
    quota = s.UUIDField(source="quota_id")
    amount = s.IntegerField()
    reason = s.CharField()
    state = s.ChoiceField(RaiseState.choices)
    requested_by = s.EmailField(source="requested_by.email", default=None, allow_null=True)
    requested_at = s.DateTimeField()
    decided_by = s.EmailField(source="decided_by.email", default=None, allow_null=True)
    decided_at = s.DateTimeField(allow_null=True)
    expires_at = s.DateTimeField()


class NewRaise(Shape):
    quota = s.UUIDField()
    amount = s.IntegerField(min_value=1, max_value=MOST)
    reason = s.CharField(max_length=200)
    expires_at = s.DateTimeField(help_text="Within 31 days.")


class Raises(Resource):
    shape = RaiseShape
    orderings = ("-requested_at", "requested_at")
    refusals = {
        SamePerson: (409, "same_person", _("You cannot decide on your own request.")),
        AlreadyDecided: (409, "already_decided", _("This request has already been decided.")),
        Expired: (409, "expired", _("It would already have ended.")),
        OperatorsOnly: (
            403,
            "set_by_platform",
            _("The platform has set this quota: an operator decides about it."),
        ),
    }

    def rows(self) -> Any:
        return self.url_tenant.quota_raises.select_related("requested_by", "decided_by", "quota")

    list = listing(
        P.VIEW_LIMITS,
        "List raises: asked for, approved and refused.",
        asks=filters(state=f.ChoiceFilter(choices=RaiseState.choices), quota=f.UUIDFilter()),
    )
    retrieve = showing(P.VIEW_LIMITS, "Show a raise.")

    @Act(P.VIEW_LIMITS, takes=NewRaise)
    def create(self, request: Any, **path: Any) -> Response:
        """Ask for a temporary raise of a quota.

        People ask, not keys.
        """
        user = self.person()
        fields, text = self.body(), _("There is no such quota in this tenant.")
        quota = self.named(self.url_tenant.quotas, "quota", text, pk=fields.pop("quota"))
        return self.respond(QuotaRaise.ask(quota, user=user, by=self.actor, **fields), 201)

    @Act(P.APPROVE_RAISES)
    def approve(self, request: Any, **path: Any) -> Response:
        """Approve a raise: it applies from the next request on.

        Only operators approve raises of a quota that the platform has set.
        """
        return self.call("approve", user=self.person())

    @Act(P.APPROVE_RAISES)
    def refuse(self, request: Any, **path: Any) -> Response:
        """Refuse a raise."""
        return self.call("refuse", user=self.person())
