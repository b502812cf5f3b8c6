"""New versions of engines: loaded beside the old ones, warmed, switched to."""

from typing import Any, ClassVar

import django_filters as f
from django.db.models import QuerySet
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who, calling, filters, listing, showing
from console.api.resource import Resource
from console.api.serving.engines import EngineChange, Engines, refuse_hosting_by_key
from console.api.serving.models import is_name
from console.api.strict_input import Row
from inference.engine_entries import LONGEST_VERSION
from inference.engines import KINDS
from inference.models import Engine, Replacement
from inference.models.replacement import (
    LOAD_WITHIN_S,
    LONGEST_LOAD_S,
    MOST_WARM_UPS,
    WARM_UPS,
    Step,
)
from inference.models.served import LONGEST_NAME
from inference.registry.versions import proposed
from tenants.operator_scopes import OperatorScope as Scope

_SWITCH_OPTIONS = ("warm_ups", "load_within_s", "keeps_old", "may_take_less")


class SwitchChange(EngineChange):
    """A change of an engine that serves, and how the new one takes its place."""

    warm_ups = s.IntegerField(
        min_value=0,
        max_value=MOST_WARM_UPS,
        required=False,
        help_text=f"Short answers before it serves. Default: {WARM_UPS}.",
    )
    load_within_s = s.IntegerField(
        min_value=1,
        max_value=LONGEST_LOAD_S,
        required=False,
        help_text=f"Seconds within which it must be warm. Default: {LOAD_WITHIN_S}.",
    )
    keeps_old = s.BooleanField(
        required=False, help_text="The old engine stays, drained, for a rollback."
    )
    may_take_less = s.BooleanField(
        required=False, help_text="Accept a shorter context, or the lack of a capability."
    )


class NewVersion(SwitchChange):
    name = s.CharField(
        max_length=LONGEST_NAME,
        validators=[is_name],
        required=False,
        help_text="Name of the new engine. Default: the old one's, with the version.",
    )
    version = s.CharField(
        max_length=LONGEST_VERSION,
        validators=[is_name],
        required=False,
        help_text="Default: v2, v3 and so on.",
    )
    kind = s.ChoiceField(sorted(KINDS), required=False)
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "url": "http://gpu-2:8000/v1",
        "version": "2026-01",
        "options": {"model": "deepseek-ai/DeepSeek-R1-0528"},
        "keeps_old": True,
    }


class ReplacementShape(Row):
    pool = s.CharField(source="pool.name")
    old = s.CharField(source="old_name", help_text="The name of an engine.")
    new = s.CharField(source="new_name")
    new_id = s.UUIDField(allow_null=True, help_text="Id of the new engine, while there is one.")
    step = s.ChoiceField(Step.choices)
    reason = s.CharField(help_text="The reason for a failure.")
    keeps_old = s.BooleanField()
    loaded_at = s.DateTimeField(allow_null=True)
    warmed_at = s.DateTimeField(allow_null=True)
    switched_at = s.DateTimeField(allow_null=True)
    ended_at = s.DateTimeField(allow_null=True)
    warm_up_ms = s.IntegerField(allow_null=True, help_text="Time that its warm-up answers took.")
    EXAMPLE = {"old": "gpu-1", "new": "gpu-1.2026-01"}


class Replacements(Resource):
    shape = ReplacementShape
    volatile = (
        *("step", "reason", "new_id"),
        *("loaded_at", "warmed_at", "switched_at", "ended_at", "warm_up_ms"),
    )

    def rows(self) -> QuerySet[Replacement]:
        return Replacement.objects.select_related("pool", "old", "new")

    list = listing(
        Who.OPERATOR,
        "List the new versions of engines, the latest first.",
        Scope.ENGINES_READ,
        asks=filters(
            step=f.ChoiceFilter(choices=Step.choices),
            old=f.CharFilter(field_name="old_name", max_length=LONGEST_NAME),
        ),
    )
    retrieve = showing(Who.OPERATOR, "Show the progress of a new version.", Scope.ENGINES_READ)
    cancel = calling(
        "cancel",
        Who.OPERATOR,
        "Cancel a new version before it serves. The old one keeps serving.",
        Scope.ENGINES_WRITE,
    )
    rollback = calling(
        "roll_back",
        Who.OPERATOR,
        "Let the old engine serve again while it exists. The new one finishes its requests.",
        Scope.ENGINES_WRITE,
    )

    @Act(Who.OPERATOR, (Scope.ENGINES_WRITE,), takes=NewVersion)
    def create(self, request: Any, **path: Any) -> Response:
        """Load a new version of an engine beside it, warm it up, and switch to it.

        Omitted fields are as in the old engine. `options` are added to its own; null removes one.
        The old engine serves until the new one is warm. Then it finishes its requests and goes. No
        request is dropped, and no answer comes from both.
        """
        fields, rows = self.body(), Engine.objects.select_related("pool__model")
        row = self.row(rows.select_for_update(of=("self",), no_key=True))
        if "If-Match" in request.headers:
            Engines(request=request).check_if_match(row)
        options = {name: fields.pop(name) for name in _SWITCH_OPTIONS if name in fields}
        refuse_hosting_by_key(self.who, row, fields)
        replacement = Replacement.begin(row, *proposed(row, fields), by=self.actor, **options)
        answer = self.respond(replacement, 201)
        answer["Location"] = (
            f"{request.path.partition('engines/')[0]}replacements/{replacement.pk}/"
        )
        return answer
