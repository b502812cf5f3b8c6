"""Retention periods of each kind of data, which keys do not change; and legal holds."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import django_filters as f
from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.models import LegalHold, RetentionRule
from audit.retention import data_classes, legal_hold, periods
from audit.retention.data_classes import MOST_DAYS, DataClass
from audit.retention.legal_hold import AlreadyApproved, Ended, SamePerson
from audit.retention.periods import Preview, Rule
from audit.trail.record import LONGEST_REASON
from console.api.acts import Act, filters, listing, shape_of, showing
from console.api.privacy.people import REFERENCE_HELP
from console.api.problem import bad_request, not_found
from console.api.resource import Resource
from console.api.strict_input import Shape
from console.privacy.legal_holds import person
from tenants.models.people.reference import LONGEST_REFERENCE
from tenants.personal_data.subject import find_person
from tenants.roles import Permission as P


class RuleShape(Shape):
    data_class = s.CharField(source="data_class.name")
    # DRF takes declared fields out of the class: Field.label stays
    label = s.CharField(source="data_class.label")  # type: ignore[assignment]
    days = s.IntegerField()
    floor_days = s.IntegerField(source="data_class.floor_days", help_text="The least of `days`.")
    default_days = s.IntegerField(source="data_class.default_days")
    changed_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "data_class": "audit",
        "label": "Audit trail: events and texts of requests",
        "days": 200,
        "floor_days": 184,
        "default_days": 200,
    }


RuleChange = shape_of("RuleChange", days=s.IntegerField(min_value=1, max_value=MOST_DAYS))


class PreviewShape(Shape):
    data_class = s.CharField(source="data_class.name")
    present = s.IntegerField()
    days = s.IntegerField()
    before = s.DateTimeField(help_text="Data before this moment would be deleted.")
    months = s.DictField(child=s.DictField(child=s.IntegerField()), help_text="Rows, by kind.")
    on_hold = s.SerializerMethodField(help_text="A legal hold keeps the data all the same.")
    EXAMPLE = {
        "data_class": "audit",
        "months": {"2026-01": {"events": 120, "texts": 80}},
        "on_hold": False,
    }

    def get_on_hold(self, preview: Preview) -> bool:
        return preview.hold is not None


class DaysFilter(f.NumberFilter):
    field_class = forms.IntegerField


class Retention(Resource):
    shape = RuleShape

    @Act(P.VIEW_AUDIT, gives=shape_of("Rules", results=RuleShape(many=True)))
    def show(self, request: Any, tenant: str) -> Response:
        """Show the retention of every kind of data."""
        rules = periods.rules(self.url_tenant.id)
        return Response({"results": [RuleShape(rule).data for rule in rules]})

    @Act(P.VIEW_AUDIT)
    def retrieve(self, request: Any, tenant: str, data_class: str) -> Response:
        """Show the retention of one kind of data."""
        return self.respond(self._rule(data_class))

    @Act(
        P.VIEW_AUDIT,
        gives=PreviewShape,
        asks=filters(days=DaysFilter(min_value=1, max_value=MOST_DAYS, required=True)),
    )
    def preview(self, request: Any, tenant: str, data_class: str) -> Response:
        """Preview a change to another number of days. Nothing changes."""
        one = self._class(data_class)
        question = self.checked_filters(RetentionRule.objects.none())
        preview = periods.preview(self.url_tenant.id, one.name, question.form.cleaned_data["days"])
        return Response(PreviewShape(preview).data)

    @Act(
        P.MANAGE_RETENTION,
        takes=RuleChange,
    )
    def partial_update(self, request: Any, tenant: str, data_class: str) -> Response:
        """Change the retention of one kind of data, from tonight on.

        This is on record, with the data that goes. Nobody can go below the minimum.
        """
        fields = self.body()
        self.check_if_match(self._rule(data_class))
        if "days" in fields:
            periods.change(self.url_tenant.id, data_class, fields["days"], by=self.actor)
        return self.respond(self._rule(data_class))

    def _rule(self, name: str) -> Rule:
        return periods.rule(self.url_tenant.id, self._class(name))

    def _class(self, name: str) -> DataClass:
        try:
            return data_classes.of(name)
        except KeyError:
            raise not_found() from None


# Legal holds: one person places a hold or asks for its release, another approves that ------------
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
    EXAMPLE = {"in_force": True}

    def get_in_force(self, hold: LegalHold) -> bool:
        return legal_hold.is_in_force(hold)


class NewHold(Shape):
    subject = s.UUIDField(
        required=False, help_text="The person; without it and `person`: everybody."
    )
    person = s.CharField(
        max_length=LONGEST_REFERENCE, required=False, help_text=f"{REFERENCE_HELP} Not stored."
    )
    covers_from = s.DateTimeField(required=False)
    covers_until = s.DateTimeField(required=False)
    reason = s.CharField(max_length=LONGEST_REASON)
    expires_at = s.DateTimeField(help_text="Within a year.")


Renewal = shape_of("Renewal", expires_at=s.DateTimeField(help_text="Within a year from now."))


class Release(Shape):
    reason = s.CharField(
        max_length=LONGEST_REASON,
        required=False,
        help_text="Reason of the person who asks; the approver may leave it out.",
    )
    EXAMPLE = {"reason": "The case is closed."}


class LegalHolds(Resource):
    shape = HoldShape
    orderings = ("-requested_at", "requested_at")
    volatile = ("in_force",)
    refusals = {
        SamePerson: (
            409,
            "same_person",
            _("The person who took the previous step cannot take this one."),
        ),
        AlreadyApproved: (409, "already_decided", _("Somebody has approved it already.")),
        Ended: (409, "expired", _("This hold is over. Place a new one.")),
    }

    def rows(self) -> QuerySet[LegalHold]:
        return LegalHold.objects.filter(tenant_id=self.url_tenant.id)

    list = listing(
        P.VIEW_AUDIT,
        "List legal holds, including those that are over.",
        asks=filters(subject=f.UUIDFilter(field_name="subject_id")),
    )
    retrieve = showing(P.VIEW_AUDIT, "Show a legal hold.")

    @Act(P.MANAGE_HOLDS, takes=NewHold)
    def create(self, request: Any, **path: Any) -> Response:
        """Place a legal hold.

        It is in force at once; another person must approve it within 72 hours. If a similar hold of
        the last 30 days was never approved, this one takes effect only when it is approved.
        """
        fields = self.body()
        fields["subject_id"] = self._subject(fields.pop("subject", None), fields.pop("person", ""))
        fields["person"] = person(self.person())
        return self.respond(legal_hold.request(self.url_tenant.id, by=self.actor, **fields), 201)

    @Act(P.MANAGE_HOLDS)
    def approve(self, request: Any, **path: Any) -> Response:
        """Approve a legal hold that somebody else has placed."""
        return self._take(legal_hold.approve)

    @Act(
        P.MANAGE_HOLDS,
        takes=Renewal,
    )
    def renew(self, request: Any, **path: Any) -> Response:
        """Let a legal hold last longer. Another person than the one who placed or renewed it must
        do so.
        """
        return self._take(legal_hold.renew)

    @Act(P.MANAGE_HOLDS, takes=Release)
    def release(self, request: Any, **path: Any) -> Response:
        """Ask for the release of a legal hold, or approve such a request.

        The hold stays in force until two people have called this.
        """
        return self._take(legal_hold.release)

    def _subject(self, subject: UUID | None, reference: str) -> UUID | None:
        """Returns whom a hold covers; None: everybody. Raises Problem."""
        if not reference:
            return subject
        if subject:
            raise bad_request({"person": [_("Send `subject` or `person`, not both.")]})
        person = find_person(self.url_tenant, reference)
        if person is None:
            raise bad_request({"person": [_("Nobody is known by this reference.")]})
        return person.subject_id

    def _take(self, step: Callable[..., object]) -> Response:
        """Take the step with the fields of the body; another tenant's hold is a 404 before that."""
        hold, by = self.row(), {"by": self.actor, "person": person(self.person())}
        step(hold, **by, **(self.body() if self.act.takes else {}))
        return self.respond(hold)
