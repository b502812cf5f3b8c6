"""Pages of evaluations of decision policies: begin one by a file, its progress and report."""

from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.trail.record import act
from console import downloads
from console.authorization import TenantRequest, permitted
from console.evaluations.policy_report import FORMATS, PolicyReportPage, as_file, file_name
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.decisions import evaluating
from inference.decisions.evaluating import File
from inference.decisions.evaluation.labelled_file import LARGEST
from inference.models import (
    DecisionPolicyVersion,
    PolicyDrift,
    PolicyEvaluation,
    PolicyPurpose,
)
from tenants.models import Tenant
from tenants.roles import Permission


class PolicyEvaluationForm(ConsoleForm):
    version = forms.ModelChoiceField(
        label=gettext_lazy("Version"), queryset=DecisionPolicyVersion.objects.none()
    )
    purpose = forms.ChoiceField(
        label=gettext_lazy("Purpose"),
        choices=PolicyPurpose.choices,
        help_text=gettext_lazy(
            "A fit needs rows of its own, at the rate of production, and writes a new draft."
        ),
    )
    content = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy(
            "CSV with a header, or JSONL: the inputs by name, and what happened (1 or 0)."
        ),
    )
    label = forms.CharField(
        label=gettext_lazy("Column of what happened"), max_length=80, initial="label"
    )
    group = forms.CharField(
        label=gettext_lazy("Column of the card or the like"),
        max_length=80,
        required=False,
        help_text=gettext_lazy("Of each, the highest score counts among the first 100."),
    )

    def __init__(self, data: Any, files: Any, tenant: Tenant) -> None:
        super().__init__(data, files)
        rows = DecisionPolicyVersion.objects.filter(tenant=tenant).defer("ciphertext")
        self.fields["version"].queryset = rows.select_related("policy").order_by(  # type: ignore[attr-defined]
            "policy__name", "-number"
        )

    def clean_content(self) -> Any:
        file = self.cleaned_data["content"]
        if file.size > LARGEST:
            raise forms.ValidationError(_("The file is larger than %d bytes.") % LARGEST)
        return file

    def begin(self, request: TenantRequest) -> PolicyEvaluation:
        """Raises ValidationError."""
        fields = self.cleaned_data
        assert request.member
        file = File(fields["content"].read(), fields["label"], fields["group"])
        version, purpose = fields["version"], fields["purpose"]
        by, caller = request.actor, request.member
        return evaluating.begin(version, file, purpose, by=by, caller=caller)


EVALUATIONS = Table(
    "policy-evaluations",
    {
        "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
        "policy": Column(gettext_lazy("Policy"), lambda row: row.version, "version__policy__name"),
        "purpose": Column(
            gettext_lazy("Purpose"), lambda row: row.get_purpose_display(), "purpose"
        ),
        "state": Column(gettext_lazy("State"), lambda row: row.get_state_display(), "state"),
    },
    order="-created",
    search=("version__policy__name",),
)


@permitted(Permission.VIEW_EVALUATIONS)
def evaluations(request: TenantRequest) -> HttpResponse:
    rows = request.tenant.policy_evaluations.select_related("version__policy")
    rows = rows.defer("report", "ciphertext", "version__ciphertext")
    if file := EVALUATIONS.file(request, rows):
        return file
    table = EVALUATIONS.shown(request, rows)
    moving = any(not row.is_over for row in table.rows)
    drift = PolicyDrift.objects.filter(tenant=request.tenant).latest_of_each()
    context = {"table": table, "moving": moving, "drift": drift.select_related("policy")}
    return render(request, "console/evaluations/policy_evaluations.html", context)


@permitted(Permission.MANAGE_EVALUATIONS)
def addition(request: TenantRequest) -> HttpResponse:
    is_post = request.method == "POST"
    form = PolicyEvaluationForm(
        request.POST if is_post else None, request.FILES if is_post else None, request.tenant
    )
    if not is_post and request.GET.get("version"):
        form.initial["version"] = request.GET["version"]
    if row := saved(form, lambda: form.begin(request)):
        return redirect(
            "console:policy_evaluation", tenant=request.tenant.name, policy_evaluation=row.pk
        )
    return render(request, "console/evaluations/policy_addition.html", {"form": form})


@permitted(Permission.VIEW_EVALUATIONS)
def evaluation(request: TenantRequest, policy_evaluation: UUID) -> HttpResponse:
    """Show the progress or the report."""
    shown = _evaluation(request, policy_evaluation)
    context = {
        "evaluation": shown,
        "by": Actors.among([shown.created_by], request.tenant).name(shown.created_by),
        "shown": PolicyReportPage.of(shown.report) if shown.report else None,
    }
    return render(request, "console/evaluations/policy_evaluation.html", context)


@permitted(Permission.VIEW_EVALUATIONS)
def live(request: TenantRequest, policy_evaluation: UUID) -> HttpResponse:
    context = {"evaluation": _evaluation(request, policy_evaluation)}
    return render(request, "console/evaluations/_policy_progress.html", context)


@require_POST
@permitted(Permission.MANAGE_EVALUATIONS)
def cancellation(request: TenantRequest, policy_evaluation: UUID) -> HttpResponse:
    own, text = _evaluation(request, policy_evaluation), _("The evaluation is cancelled.")
    return report_and_leave(
        request, own.cancel, text, "console:policy_evaluation", policy_evaluation=own.pk
    )


@require_POST
@permitted(Permission.MANAGE_EVALUATIONS)
def removal(request: TenantRequest, policy_evaluation: UUID) -> HttpResponse:
    own, text = _evaluation(request, policy_evaluation), _("The evaluation is gone.")
    return report_and_leave(request, own.remove, text, "console:policy_evaluations")


@require_POST
@permitted(Permission.VIEW_EVALUATIONS)
def file(request: TenantRequest, policy_evaluation: UUID) -> HttpResponse:
    own, form = _evaluation(request, policy_evaluation), request.POST.get("form", "html")
    if own.report is None or form not in FORMATS:
        raise Http404
    return exported(own, form, by=request.actor)


def exported(own: PolicyEvaluation, form: str, *, by: str) -> HttpResponse:
    """Returns the report as a file, which is on record."""
    name = file_name(own, form)
    detail = {"evaluation": str(own.pk), "file": name}
    act(Action.EVALUATION_EXPORT, actor=by, tenant_id=own.tenant_id, detail=detail)
    return downloads.file(as_file(own, form), name, FORMATS[form])


def _evaluation(request: TenantRequest, policy_evaluation: UUID) -> PolicyEvaluation:
    rows = request.tenant.policy_evaluations.select_related("version__policy")
    return get_object_or_404(rows.defer("ciphertext", "version__ciphertext"), pk=policy_evaluation)
