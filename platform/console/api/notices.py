"""Targets of notices and what was delivered to them: of a tenant, and of the operators."""

from datetime import timedelta
from typing import Any

import django_filters as f
from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who, calling, filters, listing, showing
from console.api.problem import Problem
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from tenants.models import Notice, NoticeState, NoticeTarget, TargetKind
from tenants.models.notices.notice_target import LONGEST_NAME, LONGEST_OVERLAP, LONGEST_SECRET
from tenants.notices.events import EVENTS, Group
from tenants.notices.trial import TooManyTests, send_test
from tenants.roles import Permission as P

_GROUPS = ["quotas", "raises"]
_SECRET = "whsec_" + "A" * 43 + "="


class _TargetFields(Shape):
    name = s.CharField(max_length=LONGEST_NAME)
    groups = s.ListField(
        child=s.ChoiceField(Group.choices), max_length=len(Group), help_text="Which notices."
    )
    language = s.ChoiceField(settings.LANGUAGES, required=False)


class NewNoticeTarget(_TargetFields):
    kind = s.ChoiceField(TargetKind.choices)
    url = s.CharField(
        max_length=500, help_text="`https://` and a public host, or one in FOREBAY_ACTION_HOSTS."
    )
    secret = s.CharField(
        required=False,
        max_length=LONGEST_SECRET,
        help_text="Of a robot of Feishu or DingTalk that checks signatures.",
    )
    EXAMPLE = {
        "kind": "webhook",
        "name": "operations",
        "url": "https://hooks.example.com/forebay",
        "groups": _GROUPS,
    }


class NoticeTargetChange(_TargetFields):
    enabled = s.BooleanField(required=False, help_text="Off, nothing is sent.")
    EXAMPLE = {"groups": _GROUPS}


class NoticeTargetShape(Row):
    kind = s.ChoiceField(TargetKind.choices)
    name = s.CharField()
    host = s.CharField(help_text="Of the URL, which is not shown again.")
    groups = s.ListField(child=s.ChoiceField(Group.choices))
    language = s.CharField()
    enabled = s.BooleanField()
    former_until = s.DateTimeField(
        allow_null=True, help_text="Until then the former secret also signs."
    )
    created_by = s.CharField(help_text="Who changed it last.")
    changed_at = s.DateTimeField()
    EXAMPLE = {
        "kind": "webhook",
        "name": "operations",
        "host": "hooks.example.com",
        "groups": _GROUPS,
        "language": "en",
        "enabled": True,
    }


class NoticeSecretShape(NoticeTargetShape):
    secret = s.CharField(
        allow_blank=True, help_text="Of a webhook: signs notices. It is shown this once."
    )
    EXAMPLE = {**NoticeTargetShape.EXAMPLE, "secret": _SECRET}


class NoticeRotation(Shape):
    overlap_hours = s.IntegerField(
        required=False,
        default=24,
        min_value=0,
        max_value=LONGEST_OVERLAP.days * 24,
        help_text="The former secret signs too for so long.",
    )
    EXAMPLE = {"overlap_hours": 24}


class NoticeTry(Shape):
    at = s.DateTimeField()
    ms = s.IntegerField()
    status = s.IntegerField(allow_null=True, help_text="Of HTTP.")
    reason = s.CharField(help_text="Empty for one that succeeded.")


class NoticeDeliveryShape(Row):
    event = s.CharField()
    target = s.UUIDField(source="target_id")
    state = s.ChoiceField(NoticeState.choices)
    attempts = s.IntegerField()
    status = s.IntegerField(allow_null=True, help_text="Of HTTP, of the latest try.")
    reason = s.CharField(help_text="Why the latest try failed, else empty.")
    tries = NoticeTry(many=True)
    due_at = s.DateTimeField(help_text="Of the next try, while it waits.")
    ended_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "event": "quota.reached",
        "state": "sent",
        "attempts": 1,
        "status": 200,
        "reason": "",
        "tries": [{"at": "2026-12-01T08:00:00Z", "ms": 41, "status": 200, "reason": ""}],
    }


_TARGETS_ASK = filters(
    name=f.CharFilter(max_length=LONGEST_NAME), kind=f.ChoiceFilter(choices=TargetKind.choices)
)
_DELIVERIES_ASK = filters(
    target=f.UUIDFilter(field_name="target"),
    state=f.ChoiceFilter(choices=NoticeState.choices),
    event=f.ChoiceFilter(choices=[(name, name) for name in EVENTS]),
)


class NoticeTargets(Resource):
    shape = NoticeTargetShape
    orderings = ("name", "-name", "created_at", "-created_at")

    def rows(self) -> QuerySet[NoticeTarget]:
        return NoticeTarget.objects.of(self.tenant).select_related("tenant")

    list = listing(
        P.MANAGE_NOTICES,
        "List the targets of a tenant's notices: webhooks and groups of chat services.",
        asks=_TARGETS_ASK,
    )
    retrieve = showing(P.MANAGE_NOTICES, "Show a target of notices.")
    destroy = calling("remove", P.MANAGE_NOTICES, "Remove a target, with its deliveries.")

    @Act(P.MANAGE_NOTICES, takes=NewNoticeTarget, gives=NoticeSecretShape)
    def create(self, request: Any, **path: Any) -> Response:
        """Create a target. For a webhook the answer has its secret, which is shown this once."""
        fields = self.body()
        self.refuse_taken(fields["name"])
        url, robot_secret = fields.pop("url"), fields.pop("secret", "")
        target = NoticeTarget(tenant=self.tenant, **fields)
        secret = target.create(url, robot_secret, by=self.actor)
        return self.respond(target, 201, secret=secret)

    @Act(P.MANAGE_NOTICES, takes=NoticeTargetChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Change a target. Another URL is another target."""
        row, fields = self.row_to_change(), self.body()
        return self.respond(row.change(by=self.actor, **fields) if fields else row)

    @Act(P.MANAGE_NOTICES, takes=NoticeRotation, gives=NoticeSecretShape)
    def rotate(self, request: Any, **path: Any) -> Response:
        """Replace a webhook's secret. For some hours notices have signatures of both."""
        row = self.row()
        overlap = timedelta(hours=self.body()["overlap_hours"])
        return self.respond(row, secret=row.rotate(overlap, by=self.actor))

    @Act(P.MANAGE_NOTICES, gives=NoticeDeliveryShape)
    def test(self, request: Any, **path: Any) -> Response:
        """Send a real notice that says it is a test. Its delivery says what came of it.

        One in ten seconds; another is a 429 with `Retry-After`.
        """
        try:
            notice = send_test(self.row(), by=self.actor)
        except TooManyTests as refused:
            text = _("A test has just been sent. Send the next one in %(seconds)d s.")
            headers = {"Retry-After": str(refused.wait_s)}
            raise Problem(
                429, "throttled", text % {"seconds": refused.wait_s}, headers=headers
            ) from None
        return Response(NoticeDeliveryShape(notice).data, status=201)


class NoticeDeliveries(Resource):
    shape = NoticeDeliveryShape
    orderings = ("-created_at", "created_at")

    def rows(self) -> QuerySet[Notice]:
        return Notice.objects.to_targets_of(self.tenant)

    list = listing(
        P.MANAGE_NOTICES,
        "List deliveries to the targets of a tenant.",
        asks=_DELIVERIES_ASK,
    )
    retrieve = showing(P.MANAGE_NOTICES, "Show a delivery, with its latest tries.")

    @Act(P.MANAGE_NOTICES)
    def redeliver(self, request: Any, **path: Any) -> Response:
        """Send a notice once more, now. Its `webhook-id` stays."""
        row = self.row()
        row.redeliver(by=self.actor)
        return self.respond(row)


# Of the platform's operators ---------------------------------------------------------------------
class PlatformNoticeTargets(NoticeTargets):
    list = listing(
        Who.OPERATOR, "List the targets of notices to operators of the platform.", asks=_TARGETS_ASK
    )
    retrieve = showing(Who.OPERATOR, "Show a target of notices to operators.")
    destroy = calling(
        "remove", Who.OPERATOR, "Remove a target of notices to operators, with its deliveries."
    )

    @Act(Who.OPERATOR, takes=NewNoticeTarget, gives=NoticeSecretShape)
    def create(self, request: Any, **path: Any) -> Response:
        """Create a target of notices to operators. A webhook's secret is shown this once."""
        return super().create(request, **path)

    @Act(Who.OPERATOR, takes=NoticeTargetChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Change a target of notices to operators. Another URL is another target."""
        return super().partial_update(request, **path)

    @Act(Who.OPERATOR, takes=NoticeRotation, gives=NoticeSecretShape)
    def rotate(self, request: Any, **path: Any) -> Response:
        """Replace the secret of a webhook of operators. For some hours both sign."""
        return super().rotate(request, **path)

    @Act(Who.OPERATOR, gives=NoticeDeliveryShape)
    def test(self, request: Any, **path: Any) -> Response:
        """Send a real notice to a target of operators that says it is a test."""
        return super().test(request, **path)


class PlatformNoticeDeliveries(NoticeDeliveries):
    list = listing(
        Who.OPERATOR, "List deliveries to the targets of operators.", asks=_DELIVERIES_ASK
    )
    retrieve = showing(Who.OPERATOR, "Show a delivery to a target of operators.")

    @Act(Who.OPERATOR)
    def redeliver(self, request: Any, **path: Any) -> Response:
        """Send a notice to operators once more, now. Its `webhook-id` stays."""
        return super().redeliver(request, **path)
