"""Temporary raises of quotas: one person asks, another decides. Keys only read."""

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
from tenants.models import Quota, User
from tenants.models.quota import MOST
from tenants.models.quota_raise import (
    AlreadyDecided,
    Expired,
    OperatorsOnly,
    QuotaRaise,
    RaiseState,
    SamePerson,
)
from tenants.roles import Permission as P


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
    EXAMPLE = {
        "id": "0192e6a0-66bb-7c6e-9f6e-1f2a3b4c5d6e",
        "quota": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "amount": 500_000,
        "reason": "The end of the quarter",
        "state": "requested",
        "requested_by": "bob@acme.example",
        "requested_at": "2026-01-31T08:00:00Z",
        "decided_by": None,
        "decided_at": None,
        "expires_at": "2026-02-07T08:00:00Z",
    }


class NewRaise(Shape):
    quota = s.UUIDField()
    amount = s.IntegerField(min_value=1, max_value=MOST)
    reason = s.CharField(max_length=200)
    expires_at = s.DateTimeField(help_text="Within 31 days.")
    EXAMPLE = {
        "quota": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "amount": 500_000,
        "reason": "The end of the quarter",
        "expires_at": "2026-02-07T08:00:00Z",
    }


class RaiseFilter(f.FilterSet):
    state = f.ChoiceFilter(choices=RaiseState.choices)
    quota = f.UUIDFilter()


_REFUSED = {
    SamePerson: ("same_person", _("You cannot decide on your own request.")),
    AlreadyDecided: ("already_decided", _("This request has already been decided.")),
    Expired: ("expired", _("It would already have ended.")),
}


class Raises(Resource):
    needs = {
        "list": P.VIEW_LIMITS,
        "create": P.VIEW_LIMITS,
        "retrieve": P.VIEW_LIMITS,
        "approve": P.APPROVE_RAISES,
        "refuse": P.APPROVE_RAISES,
    }
    shape = RaiseShape
    takes = {"create": NewRaise}
    asks = {"list": RaiseFilter}
    orderings = ("-requested_at", "requested_at")

    def list(self, request: Any, tenant: str) -> Response:
        """List raises: asked for, approved and refused."""
        return self.respond_page(self._rows())

    def create(self, request: Any, tenant: str) -> Response:
        """Ask for a temporary raise of a quota.

        People ask, not keys.
        """
        user = self._person()
        fields = self.body()
        quota: Quota | None = self.url_tenant.quotas.filter(pk=fields.pop("quota")).first()
        if quota is None:
            raise bad_request({"quota": [_("There is no such quota in this tenant.")]})
        return self.respond(QuotaRaise.ask(quota, user=user, by=self.actor, **fields), 201)

    def retrieve(self, request: Any, tenant: str, quota_raise: UUID) -> Response:
        """Show a raise."""
        return self.respond(self.get_or_404(self._rows(), pk=quota_raise))

    def approve(self, request: Any, tenant: str, quota_raise: UUID) -> Response:
        """Approve a raise: it applies from the next request on.

        Only operators approve raises of a quota that the platform has set.
        """
        return self._decide(quota_raise, "approve")

    def refuse(self, request: Any, tenant: str, quota_raise: UUID) -> Response:
        """Refuse a raise."""
        return self._decide(quota_raise, "refuse")

    def _decide(self, quota_raise: UUID, verb: str) -> Response:
        row = self.get_or_404(self._rows(), pk=quota_raise)
        try:
            getattr(row, verb)(user=self._person(), by=self.actor)
        except OperatorsOnly:
            text = _("The platform has set this quota: an operator decides about it.")
            raise denied(text, "set_by_platform") from None
        except tuple(_REFUSED) as problem:
            code, text = _REFUSED[type(problem)]
            raise Problem(409, code, text) from None
        return self.respond(row)

    def _person(self) -> User:
        if self.who.user is None:
            raise denied(_("API keys cannot do this. A person has to."))
        return self.who.user

    def _rows(self) -> Any:
        return self.url_tenant.quota_raises.select_related("requested_by", "decided_by", "quota")
