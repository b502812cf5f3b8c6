"""Keys of operators: a person makes them, and sees and revokes those of all operators."""

from typing import Any
from uuid import UUID

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.account.reauthentication import BY_FACTOR, is_proven
from console.api.access.keys import STATES, in_state, state_of
from console.api.limits.limits import figure
from console.api.requester import denied
from console.api.resource import Resource, Who
from console.api.strict_input import Shape
from tenants.accounts import operator_keys
from tenants.models import OperatorKey
from tenants.models.api_key import MOST_ENTRIES
from tenants.operator_scopes import OperatorScope

_EXAMPLE = {
    "name": "ansible",
    "scopes": ["engines:read", "engines:write"],
    "allowed_networks": ["192.0.2.0/24"],
    "requests_per_minute": 100,
}


class NewOperatorKey(Shape):
    name = s.CharField(max_length=80)
    scopes = s.ListField(
        child=s.ChoiceField(OperatorScope.values), min_length=1, max_length=len(OperatorScope)
    )
    allowed_networks = s.ListField(
        child=s.CharField(max_length=43), max_length=MOST_ENTRIES, required=False
    )
    requests_per_minute = figure(null=False)
    expires_at = s.DateTimeField(help_text="Within a year.")
    EXAMPLE = {**_EXAMPLE, "expires_at": "2026-05-01T08:00:00Z"}


class OperatorKeyShape(Shape):
    id = s.UUIDField()
    name = s.CharField()
    public_id = s.CharField(help_text="The public part of the key's text.")
    state = s.SerializerMethodField()
    scopes = s.ListField(child=s.ChoiceField(OperatorScope.values))
    allowed_networks = s.ListField(child=s.CharField(), help_text="Empty: from any address.")
    requests_per_minute = s.IntegerField(help_text="0: no limit.")
    created_by = s.SerializerMethodField(
        help_text="An operator, as the audit trail writes them. The key ends with their role."
    )
    created_at = s.DateTimeField()
    expires_at = s.DateTimeField()
    revoked_at = s.DateTimeField(allow_null=True)
    last_used_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "public_id": "a1B2c3D4e5F6",
        "state": "live",
        **_EXAMPLE,
        "created_by": "operator:1",
        "created_at": "2026-01-31T08:00:00Z",
        "expires_at": "2026-05-01T08:00:00Z",
        "revoked_at": None,
        "last_used_at": None,
    }

    def get_state(self, key: OperatorKey) -> str:
        return state_of(key)

    def get_created_by(self, key: OperatorKey) -> str:
        return key.created_by.actor if key.created_by else ""


class IssuedOperatorKey(OperatorKeyShape):
    secret = s.CharField(help_text="The key's text. It is in this answer only.")
    EXAMPLE = {**OperatorKeyShape.EXAMPLE, "secret": "sk-fbop-…"}


class OperatorKeyFilter(f.FilterSet):
    state = f.ChoiceFilter(choices=STATES, method="in_state")
    name = f.CharFilter(lookup_expr="icontains", max_length=80)

    def in_state(self, rows: QuerySet[OperatorKey], name: str, value: str) -> QuerySet[OperatorKey]:
        return in_state(rows, value)


class OperatorKeys(Resource):
    needs = dict.fromkeys(("list", "create", "retrieve", "revoke"), Who.OPERATOR)
    shape = OperatorKeyShape
    takes = {"create": NewOperatorKey}
    gives = {"create": IssuedOperatorKey}
    asks = {"list": OperatorKeyFilter}
    volatile = ("last_used_at", "state")

    def refuse_unless_allowed(self) -> None:
        """Ask for the second factor even where an earlier answer would be repeated."""
        super().refuse_unless_allowed()
        if self.action == "create":
            user = self.who.user
            assert user  # no scope of a key opens this
            operator_keys.refuse_unless_able(user)
            if not is_proven(self.request._request, BY_FACTOR):
                text = _("Confirm your identity in the console with your second factor.")
                raise denied(text, "proof_needed")

    def list(self, request: Any) -> Response:
        """List the keys of all operators."""
        return self.respond_page(self._rows())

    def create(self, request: Any) -> Response:
        """Issue a key with which a program operates the platform.

        Its text is in this answer only. It takes a second factor, proven in the console within the
        last ten minutes.
        """
        user = self.who.user
        assert user  # no scope of a key opens this
        key, text = operator_keys.make(user, **self.body())
        return self.respond(key, 201, secret=text)

    def retrieve(self, request: Any, operator_key: UUID) -> Response:
        """Show a key."""
        return self.respond(self.get_or_404(self._rows(), pk=operator_key))

    def revoke(self, request: Any, operator_key: UUID) -> Response:
        """Revoke a key: its next request is refused.

        Revoking it again changes nothing.
        """
        key = self.get_or_404(self._rows(), pk=operator_key)
        key.revoke(by=self.actor)
        return self.respond(key)

    def _rows(self) -> QuerySet[OperatorKey]:
        return OperatorKey.objects.select_related("created_by")
