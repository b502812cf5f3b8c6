"""Keys of operators: a person makes them, and sees and revokes those of all operators."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.account.reauthentication import BY_FACTOR, is_proven
from console.api.access.keys import STATE, AnyKeyShape
from console.api.acts import Act, Who, calling, filters, listing, showing
from console.api.limits.limits import figure
from console.api.problem import denied
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.accounts import operator_keys
from tenants.models import OperatorKey
from tenants.models.api_key import MOST_ENTRIES
from tenants.operator_scopes import OperatorScope


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


class OperatorKeyShape(AnyKeyShape):
    scopes = s.ListField(child=s.ChoiceField(OperatorScope.values))
    requests_per_minute = s.IntegerField(help_text="0: no limit.")
    created_by = s.SerializerMethodField(
        help_text="An operator, as the audit trail writes them. The key ends with their role."
    )
    expires_at = s.DateTimeField()
    EXAMPLE = {"public_id": "a1B2c3D4e5F6", "state": "live", "created_by": "operator:1"}

    def get_created_by(self, key: OperatorKey) -> str:
        return key.created_by.actor if key.created_by else ""


class IssuedOperatorKey(OperatorKeyShape):
    secret = s.CharField(help_text="The key's text. It is in this answer only.")
    EXAMPLE = {**OperatorKeyShape.EXAMPLE, "secret": "sk-fbop-…"}


class OperatorKeys(Resource):
    shape = OperatorKeyShape
    volatile = ("last_used_at", "state")

    def rows(self) -> QuerySet[OperatorKey]:
        return OperatorKey.objects.select_related("created_by")

    list = listing(
        Who.OPERATOR,
        "List the keys of all operators.",
        asks=filters(state=STATE, name=f.CharFilter(lookup_expr="icontains", max_length=80)),
    )
    retrieve = showing(Who.OPERATOR, "Show a key.")
    revoke = calling(
        "revoke",
        Who.OPERATOR,
        "Revoke a key: its next request is refused.\n\nRevoking it again changes nothing.",
    )

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

    @Act(Who.OPERATOR, takes=NewOperatorKey, gives=IssuedOperatorKey)
    def create(self, request: Any) -> Response:
        """Issue a key with which a program operates the platform.

        Its text is in this answer only. It takes a second factor, proven in the console within the
        last ten minutes.
        """
        user = self.who.user
        assert user  # no scope of a key opens this
        key, text = operator_keys.make(user, **self.body())
        return self.respond(key, 201, secret=text)
