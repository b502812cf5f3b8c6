"""Assistants: which of their versions answers."""

from typing import Any

import django_filters as f
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, filters, listing, showing
from console.api.assistants.specs import caller_of, checked, spec_of
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from inference.api.assistants import writing
from inference.assistants.sample import SAMPLE
from inference.models.prompt_template import LONGEST_NAME
from tenants.roles import Permission as P


class AssistantShape(Row):
    name = s.CharField()
    latest = s.IntegerField(help_text="The number of its latest version.")
    live = s.IntegerField(allow_null=True, help_text="The version that answers; null: none.")
    challenger = s.IntegerField(allow_null=True)
    challenger_share = s.FloatField(help_text="The share of people whom the challenger answers.")
    changed_at = s.DateTimeField()
    EXAMPLE = {"name": "shop", "latest": 3, "live": 2, "challenger": 3, "challenger_share": 0.2}


class NewAssistant(Shape):
    name = s.CharField(max_length=LONGEST_NAME)
    spec = s.DictField(help_text="The content of its first version.")
    EXAMPLE = {"name": "shop", "spec": SAMPLE}


class Assistants(Resource):
    shape = AssistantShape
    orderings = ("name", "-name", "created_at", "-created_at")

    def rows(self) -> Any:
        return self.url_tenant.assistants.all()

    list = listing(
        P.VIEW_ASSISTANTS,
        "List a tenant's assistants.",
        asks=filters(name=f.CharFilter(max_length=LONGEST_NAME)),
    )
    retrieve = showing(P.VIEW_ASSISTANTS, "Show an assistant.")
    destroy = calling(
        "remove", P.MANAGE_ASSISTANTS, "Remove an assistant none of whose versions ever answered."
    )
    rollback = calling(
        "roll_back", P.MANAGE_ASSISTANTS, "Let the version that answered before answer again."
    )
    stop = calling(
        "stop",
        P.MANAGE_ASSISTANTS,
        "Let no version answer new dialogues. Those under way go on.",
    )

    @Act(P.MANAGE_ASSISTANTS, takes=NewAssistant)
    def create(self, request: Any, **path: Any) -> Response:
        """Create an assistant with its first version, a draft that is built at once.

        The build embeds its examples with the limits of the caller.
        """
        fields = self.body()
        self.refuse_taken(fields["name"])
        with checked():
            spec, caller = spec_of(fields["spec"]), caller_of(self.who)
            by, name = self.actor, fields["name"]
            row = writing.create(self.url_tenant, name, spec, by=by, caller=caller)
        return self.respond(row, 201)

    @Act(P.MANAGE_ASSISTANTS)
    def unchallenge(self, request: Any, **path: Any) -> Response:
        """End the part of the challenger."""
        row = self.row()
        row.challenge(None, 0.0, by=self.actor)
        return self.respond(row)
