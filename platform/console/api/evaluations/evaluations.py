"""Evaluations of models, and their reports."""

from typing import Any

import django_filters as f
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.actions import Action
from audit.trail.record import act
from console import downloads
from console.api.acts import Act, calling, filters, listing, showing
from console.api.problem import denied, not_found
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from console.evaluations.report_file import FORMATS, as_file, file_name
from inference.evaluation.content import Kind
from inference.models import Evaluation, EvaluationState
from inference.models.served import LONGEST_NAME as LONGEST_MODEL
from tenants.models import ApiKey, Member
from tenants.roles import Permission as P


class NewEvaluation(Shape):
    task_set = s.UUIDField()
    model = s.CharField(max_length=LONGEST_MODEL)
    against = s.CharField(
        max_length=LONGEST_MODEL, required=False, help_text="A second model, asked the same."
    )
    EXAMPLE = {
        "task_set": "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "model": "support-v2",
        "against": "support",
    }


class EvaluationShape(Row):
    task_set = s.UUIDField(source="task_set_id", allow_null=True)
    task_set_name = s.CharField()
    task_set_version = s.IntegerField(source="task_set_number")
    sha256 = s.CharField(help_text="Of the task set.")
    kind = s.ChoiceField(Kind.choices)
    model = s.CharField()
    against = s.CharField(help_text='"": no second model.')
    version = s.CharField(help_text="Of the engines that answered for the model.")
    against_version = s.CharField()
    state = s.ChoiceField(EvaluationState.choices)
    error_code = s.CharField()
    percent = s.IntegerField(help_text="Items that are done.")
    created_by = s.CharField()
    ended_at = s.DateTimeField(allow_null=True)
    report = s.JSONField(allow_null=True, help_text="The figures, once it has succeeded.")
    EXAMPLE = {"model": "support-v2", "against": "support", "state": "running", "percent": 40}


FileQuestion = filters(form=f.ChoiceFilter(choices=[(each, each) for each in FORMATS]))


class Evaluations(Resource):
    shape = EvaluationShape
    volatile = ("state", "percent", "ended_at", "report", "error_code")

    def rows(self) -> Any:
        return self.url_tenant.evaluations.all()

    list = listing(
        P.VIEW_EVALUATIONS,
        "List a tenant's evaluations, the latest first.",
        asks=filters(
            model=f.CharFilter(max_length=LONGEST_MODEL),
            sha256=f.CharFilter(max_length=64),
            state=f.ChoiceFilter(choices=EvaluationState.choices),
        ),
    )
    retrieve = showing(P.VIEW_EVALUATIONS, "Show an evaluation, with its report.")
    cancel = calling(
        "cancel", P.MANAGE_EVALUATIONS, "Cancel an evaluation. What has been asked is billed."
    )
    destroy = calling("remove", P.MANAGE_EVALUATIONS, "Remove an evaluation that is over.")

    @Act(P.MANAGE_EVALUATIONS, takes=NewEvaluation)
    def create(self, request: Any, **path: Any) -> Response:
        """Evaluate a model by a task set, or two models side by side.

        It asks the engines as requests of the caller: limits, quotas and prices are theirs. It is
        work of the class `evaluation`, which gives way to all others.
        """
        fields = self.body()
        text = _("There is no such one in this tenant.")
        task_sets = self.url_tenant.task_sets.select_related("tenant").defer("ciphertext")
        task_set = self.named(task_sets, "task_set", text, pk=fields["task_set"])
        models = fields["model"], fields.get("against", "")
        row = Evaluation.create(task_set, *models, by=self.actor, caller=self._caller())
        return self.respond(row, 201)

    @Act(P.VIEW_EVALUATIONS, asks=FileQuestion, files=tuple(FORMATS.values()))
    def file(self, request: Any, **path: Any) -> HttpResponse:
        """Download a report as JSON, or as one HTML page with plots. This is on record."""
        self.checked_filters(self.rows())
        row: Evaluation = self.row()
        if row.report is None:
            raise not_found()
        form = request.GET.get("form", "json")
        name = file_name(row, form)
        detail = {"evaluation": str(row.pk), "file": name}
        act(Action.EVALUATION_EXPORT, actor=self.actor, tenant_id=row.tenant_id, detail=detail)
        return downloads.file(as_file(row, form), name, FORMATS[form])

    def _caller(self) -> ApiKey | Member:
        caller = self.who.key or self.who.member
        if caller is None:
            raise denied(_("Only a member or a key of the tenant can do this."))
        return caller
