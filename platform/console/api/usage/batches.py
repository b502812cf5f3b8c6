"""Batches of requests: progress, pausing, resuming, cancelling; without prompts and answers."""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import Problem
from console.api.resource import Resource, Who
from console.api.strict_input import Shape
from inference.batch import actions
from inference.models import Batch, BatchState
from inference.models.batch import OVER
from tenants.roles import Permission as P

EXAMPLE: dict[str, Any] = {
    "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
    "name": "batch_0192e6a05d0b7c6e9f6e1f2a3b4c5d6e",
    "tenant": "acme",
    "endpoint": "/v1/chat/completions",
    "state": "in_progress",
    "paused": False,
    "rests_until": None,
    "total": 50000,
    "completed": 31000,
    "failed": 12,
    "created_at": "2026-01-31T20:00:00Z",
    "expires_at": "2026-02-01T20:00:00Z",
    "in_progress_at": "2026-01-31T20:00:02Z",
    "ended_at": None,
}


class BatchShape(Shape):
    id = s.UUIDField()
    name = s.CharField(source="public_id", help_text="Its id at `/v1/batches`.")
    tenant = s.CharField(source="tenant.name")
    endpoint = s.CharField()
    state = s.ChoiceField(BatchState.choices)
    paused = s.BooleanField(source="is_paused")
    rests_until = s.DateTimeField(
        allow_null=True,
        help_text="No line begins before: a window is closed, or its model is away.",
    )
    total = s.IntegerField(help_text="Number of lines.")
    completed = s.IntegerField()
    failed = s.IntegerField()
    created_at = s.DateTimeField()
    expires_at = s.DateTimeField()
    in_progress_at = s.DateTimeField(allow_null=True)
    ended_at = s.DateTimeField(allow_null=True)
    EXAMPLE = EXAMPLE


class AnyBatchShape(BatchShape):
    """A batch of any tenant."""


class BatchFilter(f.FilterSet):
    state = f.ChoiceFilter(choices=BatchState.choices)
    under_way = f.BooleanFilter(method="_under_way")

    def _under_way(self, rows: QuerySet[Batch], _name: str, value: bool) -> QuerySet[Batch]:
        return rows.exclude(state__in=OVER) if value else rows.filter(state__in=OVER)


class AnyBatchFilter(BatchFilter):
    tenant = f.CharFilter(field_name="tenant__name", max_length=60)


class Batches(Resource):
    """Serves the batches of one tenant."""

    needs: ClassVar[dict[str, P | Who]] = {
        "list": P.VIEW_REQUESTS,
        "retrieve": P.VIEW_REQUESTS,
        "pause": P.MANAGE_KEYS,
        "resume": P.MANAGE_KEYS,
        "cancel": P.MANAGE_KEYS,
    }
    shape = BatchShape
    asks: ClassVar[dict[str, type[f.FilterSet]]] = {"list": BatchFilter}
    volatile = ("state", "rests_until", "completed", "failed", "in_progress_at", "ended_at")

    def list(self, request: Any, tenant: str) -> Response:
        """List a tenant's batches."""
        return self.respond_page(self._rows())

    def retrieve(self, request: Any, tenant: str, batch: UUID) -> Response:
        """Show the progress of a batch."""
        return self.respond(self.get_or_404(self._rows(), pk=batch))

    def pause(self, request: Any, tenant: str, batch: UUID) -> Response:
        """Pause a batch: running lines finish, no other line begins, and its deadline stays."""
        return self._act(batch, actions.pause)

    def resume(self, request: Any, tenant: str, batch: UUID) -> Response:
        """Resume a paused batch."""
        return self._act(batch, actions.resume)

    def cancel(self, request: Any, tenant: str, batch: UUID) -> Response:
        """Cancel a batch: running lines may finish, and finished ones stay."""
        return self._act(batch, actions.cancel)

    def _rows(self) -> QuerySet[Batch]:
        return Batch.objects.filter(tenant=self.url_tenant).select_related("tenant")

    def _act(self, pk: UUID, act: Callable[[Batch, str], bool]) -> Response:
        batch: Batch = self.get_or_404(self._rows(), pk=pk)
        if not act(batch, self.actor):
            raise Problem(409, "conflict", _("It is too late for that: the batch has ended."))
        return self.respond(batch)


class AllBatches(Batches):
    """Serves the batches of all tenants to operators."""

    needs = dict.fromkeys(Batches.needs, Who.OPERATOR)
    shape = AnyBatchShape
    asks: ClassVar[dict[str, type[f.FilterSet]]] = {"list": AnyBatchFilter}

    def list(self, request: Any) -> Response:  # type: ignore[override]
        """List the batches of all tenants."""
        return self.respond_page(self._rows())

    def retrieve(self, request: Any, any_batch: UUID) -> Response:  # type: ignore[override]
        """Show the progress of a batch of any tenant."""
        return self.respond(self.get_or_404(self._rows(), pk=any_batch))

    def pause(self, request: Any, any_batch: UUID) -> Response:  # type: ignore[override]
        """Pause a batch of any tenant."""
        return self._act(any_batch, actions.pause)

    def resume(self, request: Any, any_batch: UUID) -> Response:  # type: ignore[override]
        """Resume a paused batch of any tenant."""
        return self._act(any_batch, actions.resume)

    def cancel(self, request: Any, any_batch: UUID) -> Response:  # type: ignore[override]
        """Cancel a batch of any tenant."""
        return self._act(any_batch, actions.cancel)

    def _rows(self) -> QuerySet[Batch]:
        return Batch.objects.select_related("tenant")
