"""Actions of a tenant: webhooks that assistants call, and their calls."""

from datetime import timedelta
from typing import Any

import django_filters as f
from asgiref.sync import async_to_sync
from django.db.models import QuerySet
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, filters, listing, shape_of, showing
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from inference.actions import definitions, trying
from inference.models import ActionCall, CallState, Settlement, WebhookAction
from inference.models.assistants.webhook_action import (
    LONGEST_OVERLAP,
    LONGEST_TEXT,
    LONGEST_TIMEOUT_S,
    LONGEST_URL,
)
from inference.models.prompt_template import LONGEST_NAME
from tenants.roles import Permission as P

_SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "string", "maxLength": 20}},
    "required": ["order"],
    "additionalProperties": False,
}
_ANSWER = {"type": "object", "properties": {"state": {"type": "string"}}, "required": ["state"]}
_FIELDS: dict[str, Any] = {
    "description": {"en": "Looks up an order", "zh": "查询订单"},
    "url": "https://shop.example.com/forebay/order-state",
    "arguments": _SCHEMA,
    "answer": _ANSWER,
    "moves_money": False,
    "timeout_s": 10,
    "on_success": {"en": "Your order {{order}} is {{state}}."},
    "on_failure": {"en": "There is no order {{order}}."},
}
_SECRET = "whsec_" + "A" * 43 + "="


def _texts(help_text: str) -> Any:
    text = s.CharField(max_length=LONGEST_TEXT, allow_blank=True)
    return s.DictField(child=text, required=False, help_text=help_text)


class ActionFields(Shape):
    description = _texts("By language: `en`, `zh`.")
    url = s.CharField(
        max_length=LONGEST_URL,
        help_text="`https://` and a public host, or one in FOREBAY_ACTION_HOSTS.",
    )
    arguments = s.DictField(help_text="JSON Schema of an object.")
    answer = s.DictField(required=False, help_text="JSON Schema of an object. Default: any object.")
    moves_money = s.BooleanField(
        required=False, help_text="Then the person confirms each call with its arguments."
    )
    timeout_s = s.IntegerField(required=False, min_value=1, max_value=LONGEST_TIMEOUT_S)
    on_success = _texts("`{{name}}` stands for a field of the answer, else of the arguments.")
    on_failure = _texts("Said when the service refuses.")
    EXAMPLE = _FIELDS


class NewAction(ActionFields):
    name = s.CharField(max_length=LONGEST_NAME)
    EXAMPLE = {"name": "order_state", **_FIELDS}


class ActionChange(ActionFields):
    enabled = s.BooleanField(required=False, help_text="Off, tests alone are sent.")
    EXAMPLE = {"timeout_s": 5}


class ActionShape(Row):
    name = s.CharField()
    description = s.DictField(child=s.CharField())
    url = s.CharField()
    arguments = s.DictField()
    answer = s.DictField()
    moves_money = s.BooleanField()
    timeout_s = s.IntegerField()
    on_success = s.DictField(child=s.CharField())
    on_failure = s.DictField(child=s.CharField())
    enabled = s.BooleanField()
    revision = s.IntegerField(help_text="Counts changes. Each request has it.")
    former_until = s.DateTimeField(
        allow_null=True, help_text="Until then the former secret also signs."
    )
    created_by = s.CharField(help_text="Who changed it last.")
    changed_at = s.DateTimeField()
    proposal = s.DictField(
        allow_null=True,
        help_text="New values of `url` and `moves_money` that wait for another person, since an "
        "approved assistant calls it.",
    )
    proposed_by = s.CharField(help_text='Who proposed them first; "": nothing waits.')
    proposed_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "name": "order_state",
        **_FIELDS,
        "enabled": True,
        "revision": 1,
        "proposal": {"url": "https://shop.example.com/forebay/v2/order-state"},
    }


class SecretShape(ActionShape):
    secret = s.CharField(help_text="Signs requests. It is shown this once.")
    EXAMPLE = {**ActionShape.EXAMPLE, "secret": _SECRET}


class ActionRotation(Shape):
    overlap_hours = s.IntegerField(
        required=False,
        default=24,
        min_value=0,
        max_value=LONGEST_OVERLAP.days * 24,
        help_text="The former secret signs too for so long.",
    )
    EXAMPLE = {"overlap_hours": 24}


class ChangeApproval(Shape):
    proposed_at = s.DateTimeField(help_text="Of the change that you have read.")
    EXAMPLE = {"proposed_at": "2026-12-01T09:00:00Z"}


class ActionTest(Shape):
    arguments = s.DictField()
    confirmed = s.BooleanField(
        required=False, help_text="Must be true for an action that moves money."
    )
    EXAMPLE = {"arguments": {"order": "A-1"}}


class ActionOutcome(Shape):
    call = s.UUIDField()
    state = s.ChoiceField(["succeeded", "failed", "not_sent", "unknown"])
    reason = s.CharField(help_text="Why it did not succeed; else empty.")
    answer = s.DictField()
    texts = s.DictField(child=s.CharField())
    EXAMPLE = {
        "call": "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "state": "succeeded",
        "reason": "",
        "answer": {"state": "sent"},
        "texts": {"en": "Your order A-1 is sent."},
    }


class Actions(Resource):
    shape = ActionShape
    orderings = ("name", "-name", "created_at", "-created_at")

    def rows(self) -> QuerySet[WebhookAction]:
        return self.url_tenant.webhook_actions.select_related("tenant")

    list = listing(
        P.VIEW_ACTIONS,
        "List a tenant's actions: webhooks that its assistants may call.",
        asks=filters(name=f.CharFilter(max_length=LONGEST_NAME)),
    )
    retrieve = showing(P.VIEW_ACTIONS, "Show an action.")
    destroy = calling("remove", P.MANAGE_ACTIONS, "Remove an action. Its calls stay on record.")

    @Act(P.MANAGE_ACTIONS, takes=NewAction, gives=SecretShape)
    def create(self, request: Any, tenant: str) -> Response:
        """Create an action. The answer has its secret, which is shown this once."""
        fields = self.body()
        self.refuse_taken(fields["name"])
        fields.setdefault("answer", definitions.ANYTHING)
        action, secret = definitions.create(self.url_tenant, by=self.actor, **fields)
        return self.respond(action, 201, secret=secret)

    @Act(P.MANAGE_ACTIONS, takes=ActionChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Change an action. Calls under way end as they began.

        Another `url`, and a `moves_money` that is taken away, wait for a second person where an
        approved version of an assistant calls the action: they are its `proposal`.
        """
        row, fields = self.row_to_change(), self.body()
        return self.respond(definitions.change(row, by=self.actor, **fields) if fields else row)

    @Act(P.APPROVE_ASSISTANTS, takes=ChangeApproval)
    def approve_change(self, request: Any, **path: Any) -> Response:
        """Approve the change that waits. None of its authors may do it."""
        row = self.row()
        row.approve_change(self.body()["proposed_at"], by=self.actor)
        return self.respond(row)

    withdraw_change = calling(
        "withdraw_change", P.MANAGE_ACTIONS, "Withdraw the change that waits."
    )

    @Act(P.MANAGE_ACTIONS, takes=ActionRotation, gives=SecretShape)
    def rotate(self, request: Any, **path: Any) -> Response:
        """Replace an action's secret. For some hours requests have signatures of both."""
        row, overlap = self.row(), timedelta(hours=self.body()["overlap_hours"])
        secret = definitions.rotate(row, overlap, by=self.actor)
        return self.respond(row, secret=secret)

    @Act(P.MANAGE_ACTIONS, takes=ActionTest, gives=ActionOutcome)
    def test(self, request: Any, **path: Any) -> Response:
        """Try an action: one real, signed request in which `test` is true."""
        row, fields = self.row(), self.body()
        caller = self.who.key or self.who.member
        assert caller  # operators may not try actions
        trial = trying.Trial(
            action_id=row.pk,
            tenant_id=row.tenant_id,
            subject_id=caller.subject_id,
            actor=self.actor,
            language="en",
            confirmed=fields.get("confirmed", False),
            call_id=self.idempotent.id if self.idempotent else None,
        )
        result = async_to_sync(trying.call)(trial, fields["arguments"])
        outcome = {name: getattr(result, name) for name in ("state", "reason", "answer", "texts")}
        return Response({"call": result.call_id, **outcome})


class ActionCallShape(Row):
    action = s.CharField(source="action_name")
    revision = s.IntegerField()
    moves_money = s.BooleanField()
    dialogue = s.UUIDField(source="dialogue_id", allow_null=True, help_text="null: a test.")
    state = s.ChoiceField(CallState.choices)
    reason = s.CharField()
    status = s.IntegerField(allow_null=True, help_text="Of HTTP.")
    confirmed_at = s.DateTimeField(allow_null=True)
    sent_at = s.DateTimeField(allow_null=True)
    ended_at = s.DateTimeField(allow_null=True)
    settled_as = s.CharField(help_text="`done`, `not_done`, or empty.")
    settled_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "action": "order_state",
        "revision": 1,
        "moves_money": False,
        "state": "succeeded",
        "reason": "",
        "status": 200,
        "settled_as": "",
    }


_Settled = shape_of("CallSettlement", settled_as=s.ChoiceField(Settlement.choices))


class ActionCalls(Resource):
    shape = ActionCallShape
    orderings = ("-created_at", "created_at")

    def rows(self) -> QuerySet[ActionCall]:
        return self.url_tenant.action_calls.all()

    list = listing(
        P.VIEW_ACTIONS,
        "List calls of actions, without their texts.",
        asks=filters(
            action=f.CharFilter(field_name="action_name", max_length=LONGEST_NAME),
            state=f.ChoiceFilter(choices=CallState.choices),
        ),
    )
    retrieve = showing(P.VIEW_ACTIONS, "Show a call of an action, without its texts.")

    @Act(P.ANSWER_DIALOGUES, takes=_Settled)
    def settle(self, request: Any, **path: Any) -> Response:
        """Note whether a call with an unknown outcome was done. It is never sent again."""
        row = self.row()
        row.settle(self.body()["settled_as"], by=self.actor)
        return self.respond(row)
