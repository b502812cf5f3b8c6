"""New versions of engines: loaded beside the old ones, warmed, switched to."""

from typing import Any, ClassVar
from uuid import UUID

import django_filters as f
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.declared_resource import is_name
from console.api.resource import Resource, Who
from console.api.serving.engines import (
    READING,
    WRITING,
    EngineChange,
    Engines,
    refuse_hosting_by_key,
)
from console.api.strict_input import Shape
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
from inference.pools import LONGEST_VERSION
from inference.registry.versions import proposed

_SWITCH_OPTIONS = ("warm_ups", "load_within_s", "keeps_old", "may_take_less")


class NewVersion(EngineChange):
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
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "url": "http://gpu-2:8000/v1",
        "version": "2026-01",
        "options": {"model": "deepseek-ai/DeepSeek-R1-0528"},
        "keeps_old": True,
    }


class ReplacementShape(Shape):
    id = s.UUIDField()
    pool = s.CharField(source="pool.name")
    old = s.CharField(source="old_name", help_text="The name of an engine.")
    new = s.CharField(source="new_name")
    new_id = s.UUIDField(allow_null=True, help_text="Id of the new engine, while there is one.")
    step = s.ChoiceField(Step.choices)
    reason = s.CharField(help_text="The reason for a failure.")
    keeps_old = s.BooleanField()
    created_at = s.DateTimeField()
    loaded_at = s.DateTimeField(allow_null=True)
    warmed_at = s.DateTimeField(allow_null=True)
    switched_at = s.DateTimeField(allow_null=True)
    ended_at = s.DateTimeField(allow_null=True)
    warm_up_ms = s.IntegerField(allow_null=True, help_text="Time that its warm-up answers took.")
    EXAMPLE = {
        "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "pool": "here",
        "old": "gpu-1",
        "new": "gpu-1.2026-01",
        "new_id": "0192e6a0-5d0b-7c6e-9f6e-2f2a3b4c5d6e",
        "step": "warming",
        "reason": "",
        "keeps_old": True,
        "created_at": "2026-01-31T08:00:00Z",
        "loaded_at": "2026-01-31T08:02:10Z",
        "warmed_at": None,
        "switched_at": None,
        "ended_at": None,
        "warm_up_ms": None,
    }


class ReplacementFilter(f.FilterSet):
    step = f.ChoiceFilter(choices=Step.choices)
    old = f.CharFilter(field_name="old_name", max_length=LONGEST_NAME)


class Replacements(Resource):
    needs = dict.fromkeys(("list", "create", "retrieve", "cancel", "rollback"), Who.OPERATOR)
    operator_scopes = dict.fromkeys(("list", "retrieve"), READING)
    operator_scopes |= dict.fromkeys(("create", "cancel", "rollback"), WRITING)
    shape = ReplacementShape
    takes = {"create": NewVersion}
    asks = {"list": ReplacementFilter}
    volatile = (
        *("step", "reason", "new_id"),
        *("loaded_at", "warmed_at", "switched_at", "ended_at", "warm_up_ms"),
    )

    def list(self, request: Any) -> Response:
        """List the new versions of engines, the latest first."""
        return self.respond_page(self._rows())

    def create(self, request: Any, engine: UUID) -> Response:
        """Load a new version of an engine beside it, warm it up, and switch to it.

        Omitted fields are as in the old engine. `options` are added to its own; null removes one.
        The old engine serves until the new one is warm. Then it finishes its requests and goes. No
        request is dropped, and no answer comes from both.
        """
        fields, rows = self.body(), Engine.objects.select_related("pool__model")
        row = self.get_or_404(rows.select_for_update(of=("self",), no_key=True), pk=engine)
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

    def retrieve(self, request: Any, replacement: UUID) -> Response:
        """Show the progress of a new version."""
        return self.respond(self.get_or_404(self._rows(), pk=replacement))

    def cancel(self, request: Any, replacement: UUID) -> Response:
        """Cancel a new version before it serves. The old one keeps serving."""
        return self.respond(self.get_or_404(self._rows(), pk=replacement).cancel(by=self.actor))

    def rollback(self, request: Any, replacement: UUID) -> Response:
        """Let the old engine serve again while it exists. The new one finishes its requests."""
        return self.respond(self.get_or_404(self._rows(), pk=replacement).roll_back(by=self.actor))

    def _rows(self) -> Any:
        return Replacement.objects.select_related("pool", "old", "new")
