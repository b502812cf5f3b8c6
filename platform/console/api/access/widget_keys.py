"""A tenant's widget keys: where its assistants may be embedded."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, listing, showing
from console.api.problem import denied
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from inference.models import WidgetKey
from tenants.model_access import reaches_beyond
from tenants.models import ApiKey
from tenants.models.origin import LONGEST_ORIGIN, MOST_ORIGINS
from tenants.roles import Permission as P

_ID = "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e"
_EXAMPLE = {"name": "the shop", "origins": ["https://shop.example"]}


def _origins(**more: Any) -> s.ListField:
    return s.ListField(
        child=s.CharField(max_length=LONGEST_ORIGIN),
        max_length=MOST_ORIGINS,
        help_text="Origins of the pages that may show the widget.",
        **more,
    )


class WidgetKeyShape(Row):
    name = s.CharField()
    text = s.CharField(help_text="The key itself, which is no secret.")
    assistant = s.UUIDField(source="assistant_id", help_text="The assistant that answers.")
    api_key = s.UUIDField(
        source="api_key_id",
        allow_null=True,
        help_text="The API key whose limits count what visitors ask; null: it is gone.",
    )
    origins = _origins()
    created_by = s.CharField()
    created_at = s.DateTimeField()
    EXAMPLE = {**_EXAMPLE, "text": "pk-fb-…", "assistant": _ID, "api_key": _ID}


class NewWidgetKey(Shape):
    name = s.CharField(max_length=80)
    assistant = s.UUIDField(help_text="An assistant of the tenant.")
    api_key = s.UUIDField(help_text="An API key of the tenant.")
    origins = _origins()
    EXAMPLE = {**_EXAMPLE, "assistant": _ID, "api_key": _ID}


class WidgetKeyChange(Shape):
    name = s.CharField(max_length=80, required=False)
    origins = _origins(required=False)
    EXAMPLE = {"origins": ["https://shop.example"]}


class WidgetKeys(Resource):
    shape = WidgetKeyShape
    orderings = ("name", "-name", "created_at", "-created_at")

    def rows(self) -> QuerySet[WidgetKey]:
        return self.url_tenant.widget_keys.live().select_related("tenant", "api_key")

    list = listing(P.VIEW_KEYS, "List a tenant's widget keys.")
    retrieve = showing(P.VIEW_KEYS, "Show a widget key.")
    destroy = calling("revoke", P.MANAGE_KEYS, "Revoke a widget key; its widgets end at once.")

    @Act(P.MANAGE_KEYS, takes=NewWidgetKey)
    def create(self, request: Any, tenant: str) -> Response:
        """Create a widget key for an assistant, which spends with an API key."""
        fields, tenant_ = self.body(), self.url_tenant
        assistant = tenant_.assistants.filter(pk=fields["assistant"]).first()
        api_key = tenant_.api_keys.live().filter(pk=fields["api_key"]).first()
        if assistant is None:
            raise ValidationError({"assistant": _("There is no such assistant in this tenant.")})
        if api_key is None:
            raise ValidationError({"api_key": _("There is no such key in this tenant.")})
        self._refuse_beyond(api_key)
        arguments = fields["name"], assistant.pk, api_key, fields["origins"]
        return self.respond(WidgetKey.create(tenant_, *arguments, by=self.actor), 201)

    @Act(P.MANAGE_KEYS, takes=WidgetKeyChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Change the name or the origins."""
        row, fields = self.row_to_change(), self.body()
        self._refuse_beyond(row.api_key)
        if fields:
            row.change(by=self.actor, **fields)
        return self.respond(row)

    def _refuse_beyond(self, api_key: ApiKey | None) -> None:
        """Refuses who would speak with the models of a key, or spend its budget, by a page."""
        member = self.who.key.created_by if self.who.key else self.who.member
        manages = P.MANAGE_TEAMS in self.who.permissions
        if api_key and not manages and reaches_beyond(api_key, member):
            raise denied(_("This key reaches a team or a model that you do not."))
