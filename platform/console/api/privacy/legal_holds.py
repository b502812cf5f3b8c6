"""Legal holds: one person places a hold or asks for its release, another approves that.

Keys only read: they are not persons.
"""

from typing import Any
from uuid import UUID

import django_filters as f
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.models import LegalHold
from audit.retention import legal_hold
from audit.retention.legal_hold import AlreadyApproved, Ended, HoldRefused, SamePerson
from console.api.problem import Problem
from console.api.requester import denied
from console.api.resource import Resource
from console.api.strict_input import Shape
from console.privacy.legal_holds import person
from tenants.roles import Permission as P


class HoldShape(Shape):
    id = s.UUIDField()
    subject = s.UUIDField(source="subject_id", allow_null=True, help_text="Null: everybody.")
    covers_from = s.DateTimeField(allow_null=True)
    covers_until = s.DateTimeField(allow_null=True)
    reason = s.CharField()
    in_force = s.SerializerMethodField(
        help_text="False while it waits, where one like it was placed within the last 30 days "
        "and never approved."
    )
    requested_at = s.DateTimeField()
    approved_at = s.DateTimeField(
        allow_null=True, help_text="Without an approval it ends 72 hours after the request."
    )
    expires_at = s.DateTimeField()
    renewed = s.IntegerField()
    release_asked_at = s.DateTimeField(
        allow_null=True, help_text="It stays in force until another person approves."
    )
    release_reason = s.CharField()
    released_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "id": "0192e6a0-ccdd-7c6e-9f6e-1f2a3b4c5d6e",
        "subject": None,
        "covers_from": "2026-01-01T00:00:00Z",
        "covers_until": None,
        "reason": "Case 4711",
        "in_force": True,
        "requested_at": "2026-01-31T08:00:00Z",
        "approved_at": "2026-01-31T09:00:00Z",
        "expires_at": "2026-07-31T08:00:00Z",
        "renewed": 0,
        "release_asked_at": None,
        "release_reason": "",
        "released_at": None,
    }

    def get_in_force(self, hold: LegalHold) -> bool:
        return legal_hold.is_in_force(hold)


class NewHold(Shape):
    subject = s.UUIDField(required=False, help_text="The person; without it: everybody.")
    covers_from = s.DateTimeField(required=False)
    covers_until = s.DateTimeField(required=False)
    reason = s.CharField(max_length=legal_hold.LONGEST_REASON)
    expires_at = s.DateTimeField(help_text="Within a year.")
    EXAMPLE = {"reason": "Case 4711", "expires_at": "2026-07-31T08:00:00Z"}


class Renewal(Shape):
    expires_at = s.DateTimeField(help_text="Within a year from now.")
    EXAMPLE = {"expires_at": "2027-01-31T08:00:00Z"}


class Release(Shape):
    reason = s.CharField(
        max_length=legal_hold.LONGEST_REASON,
        required=False,
        help_text="Reason of the person who asks; the approver may leave it out.",
    )
    EXAMPLE = {"reason": "The case is closed."}


class HoldFilter(f.FilterSet):
    subject = f.UUIDFilter(field_name="subject_id")


_REFUSED = {
    SamePerson: ("same_person", _("The person who took the previous step cannot take this one.")),
    AlreadyApproved: ("already_decided", _("Somebody has approved it already.")),
    Ended: ("expired", _("This hold is over. Place a new one.")),
}


class LegalHolds(Resource):
    needs = {
        "list": P.VIEW_AUDIT,
        "create": P.MANAGE_HOLDS,
        "retrieve": P.VIEW_AUDIT,
        "approve": P.MANAGE_HOLDS,
        "renew": P.MANAGE_HOLDS,
        "release": P.MANAGE_HOLDS,
    }
    shape = HoldShape
    takes = {"create": NewHold, "renew": Renewal, "release": Release}
    asks = {"list": HoldFilter}
    orderings = ("-requested_at", "requested_at")
    volatile = ("in_force",)

    def list(self, request: Any, tenant: str) -> Response:
        """List legal holds, including those that are over."""
        return self.respond_page(self._holds())

    def create(self, request: Any, tenant: str) -> Response:
        """Place a legal hold.

        It is in force at once; another person must approve it within 72 hours. If a similar hold of
        the last 30 days was never approved, this one takes effect only when it is approved.
        """
        fields = self.body()
        fields["subject_id"] = fields.pop("subject", None)
        hold = legal_hold.request(
            self.url_tenant.id, by=self.actor, person=self._person(), **fields
        )
        return self.respond(hold, 201)

    def retrieve(self, request: Any, tenant: str, hold: UUID) -> Response:
        """Show a legal hold."""
        return self.respond(self.get_or_404(self._holds(), pk=hold))

    def approve(self, request: Any, tenant: str, hold: UUID) -> Response:
        """Approve a legal hold that somebody else has placed."""
        return self._act(self._hold(hold), "approve", person=self._person())

    def renew(self, request: Any, tenant: str, hold: UUID) -> Response:
        """Let a legal hold last longer. Another person than the one who placed or renewed it must
        do so.
        """
        return self._act(self._hold(hold), "renew", person=self._person(), **self.body())

    def release(self, request: Any, tenant: str, hold: UUID) -> Response:
        """Ask for the release of a legal hold, or approve such a request.

        The hold stays in force until two people have called this.
        """
        row = self._hold(hold)
        return self._act(row, "release", person=self._person(), **self.body())

    def _hold(self, hold: UUID) -> LegalHold:
        row: LegalHold = self.get_or_404(self._holds(), pk=hold)
        return row

    def _act(self, hold: LegalHold, verb: str, **fields: Any) -> Response:
        try:
            getattr(legal_hold, verb)(hold, by=self.actor, **fields)
        except HoldRefused as problem:
            code, text = _REFUSED[type(problem)]
            raise Problem(409, code, str(text)) from None
        return self.respond(hold)

    def _person(self) -> str:
        if self.who.user is None:
            raise denied(str(_("API keys cannot do this. A person has to.")))
        return person(self.who.user)

    def _holds(self) -> Any:
        return LegalHold.objects.filter(tenant_id=self.url_tenant.id)
