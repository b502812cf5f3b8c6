"""Evaluations of decision policies by labelled rows, and what is fitted on such rows."""

from typing import Any

import django_filters as f
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, filters, listing, showing
from console.api.problem import denied, not_found
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from console.evaluations.policies import exported
from console.evaluations.policy_report import FORMATS
from inference.decisions import evaluating
from inference.decisions.evaluating import File
from inference.decisions.evaluation.labelled_file import LARGEST
from inference.models import DecisionPolicyVersion, EvaluationState, PolicyPurpose
from tenants.models import ApiKey, Member
from tenants.roles import Permission as P


class NewPolicyEvaluation(Shape):
    policy = s.CharField(max_length=80, help_text="The name of the policy.")
    version = s.IntegerField(min_value=1, help_text="The number of its version.")
    purpose = s.ChoiceField(
        PolicyPurpose.choices,
        required=False,
        help_text="By default a report; all others fit, and write a new draft.",
    )
    content = s.CharField(
        max_length=LARGEST,
        trim_whitespace=False,
        help_text="CSV with a header, or a JSON object in each line.",
    )
    label_column = s.CharField(
        max_length=80, required=False, help_text="The column of what happened; else `label`."
    )
    group_column = s.CharField(
        max_length=80, required=False, help_text="The column of a card or the like."
    )
    EXAMPLE = {
        "policy": "payments",
        "version": 2,
        "purpose": "report",
        "content": "amount,card,fraud\n12,c1,0\n900,c2,1\n",
        "label_column": "fraud",
        "group_column": "card",
    }


class PolicyEvaluationShape(Row):
    policy = s.CharField(source="version.policy.name")
    version = s.IntegerField(source="version.number")
    purpose = s.ChoiceField(PolicyPurpose.choices)
    state = s.ChoiceField(EvaluationState.choices)
    error_code = s.CharField()
    total = s.IntegerField(help_text="Rows of the file.")
    percent = s.IntegerField(help_text="Rows that are scored.")
    written = s.IntegerField(
        allow_null=True, help_text="The number of the version that a fit has written."
    )
    created_by = s.CharField()
    ended_at = s.DateTimeField(allow_null=True)
    report = s.JSONField(allow_null=True, help_text="The figures, once a report has succeeded.")
    EXAMPLE = {"policy": "payments", "version": 2, "state": "running", "percent": 40}


PolicyFileQuestion = filters(form=f.ChoiceFilter(choices=[(each, each) for each in FORMATS]))


class PolicyEvaluations(Resource):
    shape = PolicyEvaluationShape
    volatile = ("state", "percent", "ended_at", "report", "error_code", "written")

    def rows(self) -> Any:
        rows = self.url_tenant.policy_evaluations.select_related("version__policy")
        return rows.defer("ciphertext", "version__ciphertext")

    list = listing(
        P.VIEW_EVALUATIONS,
        "List a tenant's evaluations of decision policies, the latest first.",
        asks=filters(
            policy=f.CharFilter(field_name="version__policy__name", max_length=80),
            state=f.ChoiceFilter(choices=EvaluationState.choices),
        ),
    )
    retrieve = showing(P.VIEW_EVALUATIONS, "Show an evaluation of a policy, with its report.")
    cancel = calling(
        "cancel", P.MANAGE_EVALUATIONS, "Cancel an evaluation. What has been asked is billed."
    )
    destroy = calling("remove", P.MANAGE_EVALUATIONS, "Remove an evaluation that is over.")

    @Act(P.MANAGE_EVALUATIONS, takes=NewPolicyEvaluation)
    def create(self, request: Any, **path: Any) -> Response:
        """Put labelled rows to a version of a decision policy.

        Each row is asked as the policy asks, as a request of the caller in the class `batch`. The
        rows are kept encrypted, and deleted once all are scored.
        """
        fields = self.body()
        text = _("There is no such one in this tenant.")
        versions = DecisionPolicyVersion.objects.filter(tenant=self.url_tenant)
        named = {"policy__name": fields["policy"], "number": fields["version"]}
        version = self.named(versions.select_related("policy"), "version", text, **named)
        columns = fields.get("label_column", evaluating.LABEL), fields.get("group_column", "")
        file, purpose = File(fields["content"].encode(), *columns), fields.get("purpose", "report")
        caller = self._caller()
        row = evaluating.begin(version, file, purpose, by=self.actor, caller=caller)
        return self.respond(row, 201)

    @Act(P.VIEW_EVALUATIONS, asks=PolicyFileQuestion, files=tuple(FORMATS.values()))
    def file(self, request: Any, **path: Any) -> HttpResponse:
        """Download a report as JSON, or as one HTML page with plots. This is on record."""
        self.checked_filters(self.rows())
        row = self.row()
        if row.report is None:
            raise not_found()
        return exported(row, request.GET.get("form", "json"), by=self.actor)

    def _caller(self) -> ApiKey | Member:
        caller = self.who.key or self.who.member
        if caller is None:
            raise denied(_("Only a member or a key of the tenant can do this."))
        return caller
