"""Versions of a decision policy: written, sent to review, approved, retired."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, listing
from console.api.decisions.specs import spec_in
from console.api.problem import bad_request, denied, first_or_404
from console.api.resource import Resource
from console.api.return_reason import ReturnReason
from console.api.strict_input import Shape
from inference.decisions import calibration, policies
from inference.decisions.calibration import Unfit
from inference.decisions.sample import SAMPLE as SPEC
from inference.decisions.spec import as_json
from inference.models import DecisionPolicy, DecisionPolicyVersion, PolicyVersionState
from tenants.roles import Permission as P

MOST_ROWS = 20_000
METHODS = ("temperature", "platt", "isotonic")


class PolicyVersionLine(Shape):
    number = s.IntegerField()
    state = s.ChoiceField(PolicyVersionState.choices)
    model = s.CharField()
    model_version = s.CharField(help_text='The one it was made for; "": its engines name none.')
    created_by = s.CharField()
    created_at = s.DateTimeField()
    reviewed_by = s.CharField(help_text='Who approved it; "": nobody yet.')
    reviewed_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "number": 2,
        "state": "in_review",
        "model": "deepseek-r1",
        "model_version": "risk@4",
        "created_by": "member:0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "created_at": "2026-12-01T09:30:00Z",
        "reviewed_by": "",
        "reviewed_at": None,
    }


class PolicyVersionShape(PolicyVersionLine):
    trial = s.JSONField(
        allow_null=True,
        help_text="What one request to its model showed; `problem` says why it cannot serve.",
    )
    report = s.JSONField(allow_null=True, help_text="The figures of its evaluation.")
    return_reason = s.CharField(help_text='Why it was sent back; "": it never was.')
    spec = s.SerializerMethodField()
    EXAMPLE = {
        **PolicyVersionLine.EXAMPLE,
        "trial": {"score": 0.42, "both_labels": True},
        "report": None,
        "spec": SPEC,
    }

    def get_spec(self, version: DecisionPolicyVersion) -> dict[str, Any]:
        return as_json(policies.spec_of(version))


class NewPolicyVersion(Shape):
    spec = s.DictField(help_text="All of it: nothing is taken over from the version before.")
    EXAMPLE = {"spec": SPEC}


class CalibrationRows(Shape):
    method = s.ChoiceField(METHODS)
    scores = s.ListField(
        child=s.FloatField(), max_length=MOST_ROWS, help_text="Raw scores of the version."
    )
    labels = s.ListField(
        child=s.BooleanField(), max_length=MOST_ROWS, help_text="Whether it was one, by score."
    )
    EXAMPLE = {"method": "platt", "scores": [0.91, 0.12], "labels": [True, False]}


class DecisionPolicyVersions(Resource):
    shape = PolicyVersionLine
    lookup_field = "number"
    orderings = ("-number", "number")
    volatile = ("trial", "report")

    def rows(self) -> QuerySet[DecisionPolicyVersion]:
        return self._policy().versions.select_related("policy", "tenant")

    def _policy(self) -> DecisionPolicy:
        rows = self.url_tenant.decision_policies.filter(pk=self.kwargs["policy"])
        return first_or_404(rows.select_related("tenant"))

    approve = calling(
        "approve",
        P.APPROVE_POLICIES,
        "Approve a version in review. Another person than its authors has to.",
    )
    send_back = calling(
        "send_back",
        P.APPROVE_POLICIES,
        "Make a version in review a draft again, and say why.",
        takes=ReturnReason,
    )
    retire = calling("retire", P.MANAGE_POLICIES, "Keep a version from ever deciding again.")

    list = listing(P.VIEW_POLICIES, "List the versions of a decision policy, the latest first.")

    @Act(P.VIEW_POLICIES, gives=PolicyVersionShape)
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show a version of a decision policy. What is written in one never changes."""
        return self._whole(self.row())

    @Act(P.MANAGE_POLICIES, takes=NewPolicyVersion, gives=PolicyVersionShape)
    def create(self, request: Any, **path: Any) -> Response:
        """Write a version of a decision policy, a draft."""
        policy, spec = self._policy(), spec_in(self.body()["spec"])
        version = policies.write(policy, spec, by=self.actor)
        return self._whole(version, request.path)

    @Act(P.MANAGE_POLICIES, gives=PolicyVersionShape)
    def submit(self, request: Any, **path: Any) -> Response:
        """Send a draft to review. First its model is asked once, as a request of the caller.

        If the answer has no log-probabilities, or neither label is likely, it is a draft again.
        """
        caller = self.who.key or self.who.member
        if caller is None:
            raise denied(_("Only a member or a key of the tenant can do this."))
        version: DecisionPolicyVersion = self.row()
        version.submit(by=self.actor, caller=caller)
        return self._whole(version)

    @Act(P.MANAGE_POLICIES, takes=CalibrationRows, gives=PolicyVersionShape, creates=True)
    def calibrate(self, request: Any, **path: Any) -> Response:
        """Fit a calibration on labelled scores: a new version, a draft, differs in it alone.

        Take rows at the rate at which the event happens in production, and other ones than those
        by which the model was trained or is tested.
        """
        version, fields = self.row(), self.body()
        origin = {"model": version.model, "model_version": version.model_version}
        try:
            rows = fields["scores"], fields["labels"]
            fitted = calibration.fit(fields["method"], *rows, at=timezone.now(), **origin)
        except Unfit as problem:
            raise bad_request({"scores": [str(problem)]}) from None
        fresh = policies.calibrate(version, fitted, by=self.actor)
        return self._whole(fresh, request.path.removesuffix(f"{version.number}/calibrate/"))

    def _whole(self, version: DecisionPolicyVersion, among: str = "") -> Response:
        """Returns all of a version. A new one gets its address `among` the others."""
        body = PolicyVersionShape(version).data
        headers = {"ETag": self.etag(body)}
        if among:
            headers["Location"] = f"{among}{version.number}/"
        return Response(body, 201 if among else 200, headers=headers)
