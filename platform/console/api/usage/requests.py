"""The request log: each request and its outcome, never its text."""

from dataclasses import replace
from typing import Any

import django_filters as f
from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.actions import Action
from audit.trail.record import act
from console import downloads
from console.api import cursor
from console.api.acts import Act, Who
from console.api.problem import bad_request
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from console.request_log import refused_around
from console.request_log.export import exported, usage_of
from console.request_log.log import ROWS, file_name
from console.request_log.timeline import Timeline
from inference.models import Completion, State
from inference.usage import request_log
from inference.usage.export import FORMATS
from inference.usage.request_log import SHORTEST_ID, BadCursor, RequestFilters, id_range
from tenants.models.refusal import RefusedBy
from tenants.roles import Permission as P


class RequestUsage(Shape):
    status = s.IntegerField(help_text="HTTP status; 499: cancelled.")
    error_code = s.CharField(help_text="Empty if it did not fail.")
    finish_reason = s.CharField()
    prompt_tokens = s.IntegerField()
    cached_tokens = s.IntegerField(help_text="Part of the prompt tokens.")
    completion_tokens = s.IntegerField()
    cost = s.IntegerField(help_text="Cost in millionths of the currency.")
    cache = s.CharField(help_text="`l1`, `l2` or `shared`: answered from there; `miss`; or empty.")
    hosted = s.BooleanField(help_text="Its prompt left this installation.")
    team = s.UUIDField(source="team_id", allow_null=True)
    session = s.UUIDField(allow_null=True)
    attempts = s.IntegerField()
    preemptions = s.IntegerField()
    queue_ms = s.IntegerField(allow_null=True, help_text="From its receipt until it began.")
    ttft_ms = s.IntegerField(allow_null=True, help_text="From its receipt to its first token.")
    duration_ms = s.IntegerField(help_text="From its receipt to its settlement.")


class RequestShape(Row):
    """A request. Its id is the `x-request-id` of its answer."""

    tenant = s.CharField(source="tenant.name")
    settled_at = s.DateTimeField(allow_null=True)
    state = s.ChoiceField(State.choices)
    route = s.CharField(help_text="The path of the API, `chat`, `playground`, …")
    stream = s.BooleanField()
    model = s.CharField()
    adapter_version = s.CharField(help_text="On the model, as NAME@VERSION. Empty: none.")
    pool = s.CharField(help_text="The pool that serves or served it.")
    work_class = s.CharField(source="klass")
    key = s.UUIDField(source="api_key_id", allow_null=True)
    member = s.UUIDField(source="member_id", allow_null=True)
    usage = RequestUsage(allow_null=True, help_text="Null while the request is open.")
    EXAMPLE = {"route": "/v1/chat/completions", "model": "deepseek-r1", "work_class": "realtime"}


class MomentShape(Shape):
    name = s.ChoiceField(("received", "started", "first_token", "settled", "now"))
    at = s.DateTimeField()
    after_ms = s.IntegerField(help_text="Since the request was received.")


class SpanShape(Shape):
    name = s.ChoiceField(("queued", "started", "answered", "cached"))
    begins_ms = s.IntegerField()
    ms = s.IntegerField()


class RefusedShape(Shape):
    id = s.CharField(source="public_id", help_text="Of the refusals in `refusals/`.")
    tier = s.ChoiceField(RefusedBy.choices, help_text="The limit or quota that refused.")
    limit = s.IntegerField()
    count = s.IntegerField(help_text="Refusals in this minute.")
    last_at = s.DateTimeField()


class RequestDetail(RequestShape):
    currency = s.CharField(help_text="Of the cost.")
    moments = MomentShape(many=True)
    spans = SpanShape(many=True, help_text="The time between two moments.")
    refused = RefusedShape(many=True, help_text="To the same caller, in the minutes around it.")
    EXAMPLE = {**RequestShape.EXAMPLE, "currency": "CNY"}


class RequestQuestion(f.FilterSet):
    id = f.CharFilter(max_length=60, help_text="An id or its beginning, whatever its time is.")
    since = f.IsoDateTimeFilter()
    until = f.IsoDateTimeFilter(help_text="Exclusive.")
    state = f.ChoiceFilter(choices=State.choices)
    code = f.CharFilter(max_length=60, help_text="An HTTP status or an error code.")
    model = f.CharFilter(max_length=201, help_text="As requests name it: MODEL or BASE:ADAPTER.")
    pool = f.CharFilter(max_length=120)
    key = f.UUIDFilter()
    member = f.UUIDFilter()
    team = f.UUIDFilter()
    session = f.UUIDFilter()


class RequestFileQuestion(RequestQuestion):
    form = f.ChoiceFilter(choices=[(form, form) for form in FORMATS], required=True)


class OwnRequestQuestion(RequestQuestion):
    key = None  # there is one caller: django-filter leaves these two out
    member = None


class OwnRequestFileQuestion(RequestFileQuestion):
    key = None
    member = None


class Requests(Resource):
    """Serves the requests of one tenant."""

    shape = RequestShape
    orderings = ("-created_at",)
    volatile = ("state", "pool", "settled_at", "usage")

    def rows(self) -> QuerySet[Completion]:
        return self.url_tenant.completions.select_related(*ROWS)

    @Act(P.VIEW_REQUESTS, asks=RequestQuestion)
    def list(self, request: Any, **path: Any) -> Response:
        """List the requests of a tenant, the newest first.

        A page can have fewer rows than `limit`, or none, and still a `next_cursor`: if matches are
        rare, the next page continues the search.
        """
        cursor.ordering_of(request.GET, self.orderings)
        limit, start = cursor.limit_of(request.GET), request.GET.get("cursor", "")
        try:
            page = request_log.page(self.searched(), self.filters(), start, limit)
        except BadCursor:
            raise cursor.wrong_list() from None
        results = self.shape(page.rows, many=True).data
        return Response({"results": results, "next_cursor": page.older or None})

    @Act(P.VIEW_REQUESTS, gives=RequestDetail)
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show a request: its outcome, its figures, and its course in time."""
        row: Completion = self.row()
        course = Timeline.of(row, usage_of(row))
        return self.respond(
            row,
            currency=settings.CURRENCY,
            moments=MomentShape(course.moments, many=True).data,
            spans=SpanShape(course.spans, many=True).data,
            refused=RefusedShape(refused_around.by_limits(row), many=True).data,
        )

    @Act(P.VIEW_REQUESTS, asks=RequestFileQuestion, files=("text/csv", "application/json"))
    def export(self, request: Any, **path: Any) -> HttpResponseBase:
        """Export the matching requests as CSV or JSON, the newest first.

        This is on record. Text that a spreadsheet would take for a formula is escaped.
        """
        filters, form = self.filters(), request.GET["form"]
        tenant = self.tenant
        name = file_name(tenant.name if tenant else "all-tenants", form)
        tenant_id = tenant.id if tenant else None
        act(Action.USAGE_EXPORT, actor=self.actor, tenant_id=tenant_id, detail={"file": name})
        pieces = exported(self.searched(), filters, form, with_tenant=tenant is None)
        return downloads.stream(pieces, self.scope, name, FORMATS[form])

    def searched(self) -> QuerySet[Completion]:
        """Returns the rows that lists and files search."""
        return self.rows()

    def filters(self) -> RequestFilters:
        fields = dict(self.checked_filters(Completion.objects.none()).form.cleaned_data)
        fields.pop("form", None)
        if fields["id"] and id_range(fields["id"]) is None:
            message = _("Send an id, or at least its first %d digits.") % SHORTEST_ID
            raise bad_request({"id": [message]})
        return RequestFilters(**{name: value for name, value in fields.items() if value})


class AnyRequests(Requests):
    """Serves the requests of all tenants to operators."""

    def rows(self) -> QuerySet[Completion]:
        return Completion.objects.select_related(*ROWS)

    @Act(Who.OPERATOR, asks=RequestQuestion)
    def list(self, request: Any, **path: Any) -> Response:
        """List the requests of all tenants, the newest first."""
        return super().list(request, **path)

    @Act(Who.OPERATOR, gives=RequestDetail)
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show a request of any tenant."""
        return super().retrieve(request, **path)

    @Act(Who.OPERATOR, asks=RequestFileQuestion, files=("text/csv", "application/json"))
    def export(self, request: Any, **path: Any) -> HttpResponseBase:
        """Export the matching requests of all tenants."""
        return super().export(request, **path)


class OwnRequests(Requests):
    """Serves a caller's own requests, whatever the role or the scopes are."""

    def rows(self) -> QuerySet[Completion]:
        key, member = self.who.key, self.who.member
        if key is None and member is None:  # an operator on a visit
            return self.url_tenant.completions.none()
        own = {"api_key": key} if key else {"member": member}
        return super().rows().filter(**own)

    def searched(self) -> QuerySet[Completion]:
        """Returns a member's rows, which an index has, or those among which a key's are sought."""
        return super().rows() if self.who.key else self.rows()

    def filters(self) -> RequestFilters:
        key = self.who.key
        return replace(super().filters(), key=key.pk if key else None)

    @Act(Who.ANYBODY, asks=OwnRequestQuestion)
    def list(self, request: Any, **path: Any) -> Response:
        """List your own requests, the newest first.

        A person's are those of the chat and the playground; a key's are those that it was sent
        with. As in the list of a tenant's requests, a page may be short and have a `next_cursor`.
        """
        return super().list(request, **path)

    @Act(Who.ANYBODY, gives=RequestDetail)
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show a request of your own."""
        return super().retrieve(request, **path)

    @Act(Who.ANYBODY, asks=OwnRequestFileQuestion, files=("text/csv", "application/json"))
    def export(self, request: Any, **path: Any) -> HttpResponseBase:
        """Export your own matching requests."""
        return super().export(request, **path)
