"""Usage by session: what agents and other clients took for one conversation or task."""

from typing import Any

import django_filters as f
from django.http import HttpResponse
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.actions import Action
from audit.trail.record import act
from console import downloads
from console.api.acts import Act, shape_of
from console.api.resource import Resource
from console.api.strict_input import Shape
from inference.models import Usage
from inference.usage import export
from inference.usage import sessions as usage
from tenants.roles import Permission as P

_ID = "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e"


class SessionLine(Shape):
    session = s.UUIDField(help_text="As `x-forebay-session` of its answers.")
    actors = s.ListField(child=s.CharField(), help_text="Its keys or its member, as on record.")
    models = s.ListField(child=s.CharField())
    requests = s.IntegerField()
    prompt_tokens = s.IntegerField()
    cached_tokens = s.IntegerField(help_text="Part of the prompt tokens.")
    completion_tokens = s.IntegerField()
    cost = s.IntegerField(help_text="Cost in millionths of the currency.")
    first_at = s.DateTimeField()
    last_at = s.DateTimeField()
    EXAMPLE = {"session": _ID, "actors": [f"key:{_ID}"], "models": ["deepseek-r1"]}


def _choices(words: Any) -> list[tuple[str, str]]:
    return [(word, word) for word in words]


class SessionQuestion(f.FilterSet):
    range = f.ChoiceFilter(choices=_choices(usage.RANGES), help_text="`7d` if left out.")
    sort = f.ChoiceFilter(choices=_choices(usage.SORTS), help_text="`cost` if left out.")
    session = f.UUIDFilter()


class SessionFileQuestion(SessionQuestion):
    form = f.ChoiceFilter(choices=_choices(export.FORMATS), required=True)


class Sessions(Resource):
    shape = shape_of("Sessions", sessions=SessionLine(many=True))

    @Act(P.VIEW_USAGE, asks=SessionQuestion)
    def report(self, request: Any, **path: Any) -> Response:
        """Report usage by session of clients: the hundred highest."""
        return Response({"sessions": SessionLine(self._top(), many=True).data})

    @Act(P.VIEW_USAGE, asks=SessionFileQuestion, files=("text/csv", "application/json"))
    def export(self, request: Any, **path: Any) -> HttpResponse:
        """Export usage by session of clients as CSV or JSON. This is on record."""
        rows, form = self._top(), request.GET["form"]
        name = f"sessions-{self.url_tenant.name}.{form}"
        tenant_id = self.url_tenant.id
        act(Action.USAGE_EXPORT, actor=self.actor, tenant_id=tenant_id, detail={"file": name})
        return downloads.file(usage.exported(rows, form), name, export.FORMATS[form])

    def _top(self) -> list[usage.SessionUsage]:
        fields = self.checked_filters(Usage.objects.none()).form.cleaned_data
        span, sort = fields["range"] or "7d", fields["sort"] or "cost"
        return usage.top(self.url_tenant, span, sort, fields["session"])
