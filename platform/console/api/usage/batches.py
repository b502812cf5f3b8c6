"""Batches of requests: progress, pausing, resuming, cancelling; without prompts and answers."""

from collections.abc import Callable
from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Method, Need, Who, listing, showing
from console.api.problem import Problem
from console.api.resource import Resource
from console.api.strict_input import Row
from inference.batch import actions
from inference.models import Batch, BatchState
from inference.models.batch import OVER
from tenants.roles import Permission as P


class BatchShape(Row):
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
    expires_at = s.DateTimeField()
    in_progress_at = s.DateTimeField(allow_null=True)
    ended_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {"name": "batch_0192e6a05d0b7c6e9f6e1f2a3b4c5d6e", "endpoint": "/v1/chat/completions"}


class AnyBatchShape(BatchShape):
    """A batch of any tenant."""


class BatchFilter(f.FilterSet):
    state = f.ChoiceFilter(choices=BatchState.choices)
    under_way = f.BooleanFilter(method="_under_way")

    def _under_way(self, rows: QuerySet[Batch], _name: str, value: bool) -> QuerySet[Batch]:
        return rows.exclude(state__in=OVER) if value else rows.filter(state__in=OVER)


class AnyBatchFilter(BatchFilter):
    tenant = f.CharFilter(field_name="tenant__name", max_length=60)


def _acting(act: Callable[[Batch, str], bool], need: Need, text: str) -> Method:
    """Returns an act on a batch that has not ended."""

    def method(view: Resource, request: Any, **path: Any) -> Response:
        batch: Batch = view.row()
        if not act(batch, view.actor):
            raise Problem(409, "conflict", _("It is too late for that: the batch has ended."))
        return view.respond(batch)

    return Act(need).described(text, method)


class Batches(Resource):
    """Serves the batches of one tenant."""

    shape = BatchShape
    volatile = ("state", "rests_until", "completed", "failed", "in_progress_at", "ended_at")

    def rows(self) -> QuerySet[Batch]:
        return Batch.objects.filter(tenant=self.url_tenant).select_related("tenant")

    list = listing(P.VIEW_REQUESTS, "List a tenant's batches.", asks=BatchFilter)
    retrieve = showing(P.VIEW_REQUESTS, "Show the progress of a batch.")
    pause = _acting(
        actions.pause,
        P.MANAGE_KEYS,
        "Pause a batch: running lines finish, no other line begins, and its deadline stays.",
    )
    resume = _acting(actions.resume, P.MANAGE_KEYS, "Resume a paused batch.")
    cancel = _acting(
        actions.cancel,
        P.MANAGE_KEYS,
        "Cancel a batch: running lines may finish, and finished ones stay.",
    )


class AllBatches(Batches):
    """Serves the batches of all tenants to operators."""

    shape = AnyBatchShape

    def rows(self) -> QuerySet[Batch]:
        return Batch.objects.select_related("tenant")

    list = listing(Who.OPERATOR, "List the batches of all tenants.", asks=AnyBatchFilter)
    retrieve = showing(Who.OPERATOR, "Show the progress of a batch of any tenant.")
    pause = _acting(actions.pause, Who.OPERATOR, "Pause a batch of any tenant.")
    resume = _acting(actions.resume, Who.OPERATOR, "Resume a paused batch of any tenant.")
    cancel = _acting(actions.cancel, Who.OPERATOR, "Cancel a batch of any tenant.")
