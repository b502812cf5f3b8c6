"""Pages of the versions of a decision policy: written, read, reviewed."""

from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from audit.keys.keyring import Unreadable
from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.decisions.forms import SpecForm
from console.decisions.readable_spec import readable
from console.decisions.words import problem_in
from console.forms import ReturnForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.trail.actors import Actors
from inference.decisions import policies as acts
from inference.models import DecisionPolicy, DecisionPolicyVersion
from tenants.roles import Permission


@permitted(Permission.MANAGE_POLICIES)
def addition(request: TenantRequest, policy: UUID, number: int) -> HttpResponse:
    """Write a version that begins as a copy of this one."""
    before = _version(request, policy, number)
    form = SpecForm(request.POST or None, acts.spec_of(before))
    write = partial(acts.write, before.policy, by=request.actor)
    if version := saved(form, lambda: write(form.cleaned_data["spec"])):
        return _to_page(request, version)
    shown = {"form": form, "version": before, "policy": before.policy}
    return render(request, "console/decisions/version_addition.html", shown)


@permitted(Permission.VIEW_POLICIES)
def version(request: TenantRequest, policy: UUID, number: int) -> HttpResponse:
    row = _version(request, policy, number)
    people = [row.created_by, row.reviewed_by, row.returned_by]
    actors = Actors.among([each for each in people if each], request.tenant)
    context: dict[str, Any] = {
        "version": row,
        "policy": row.policy,
        "by": actors.name(row.created_by),
        "reviewer": actors.name(row.reviewed_by) if row.reviewed_by else "",
        "returned_by": actors.name(row.returned_by) if row.returned_by else "",
        "return_form": ReturnForm(),
        "problem": problem_in(row.trial),
        "is_author": request.actor in row.authors,
        "serves": row.policy.serves(row.number),
    }
    try:
        context["spec"] = readable(acts.spec_of(row))
        context["return_reason"] = row.return_reason
    except Unreadable:
        context["spec"] = None
    return render(request, "console/decisions/version.html", context)


@require_POST
@permitted(Permission.MANAGE_POLICIES)
@recently_proven
def submission(request: TenantRequest, policy: UUID, number: int) -> HttpResponse:
    row = _version(request, policy, number)
    assert request.member  # operators do not have this permission
    text = _("Its model is asked once now. Then another person can approve it.")
    return _acted(request, row, partial(row.submit, caller=request.member), text)


@require_POST
@permitted(Permission.APPROVE_POLICIES)
@recently_proven
def approval(request: TenantRequest, policy: UUID, number: int) -> HttpResponse:
    row = _version(request, policy, number)
    return _acted(request, row, row.approve, _("The version is approved. It can be promoted now."))


@require_POST
@permitted(Permission.APPROVE_POLICIES)
@recently_proven
def return_to_draft(request: TenantRequest, policy: UUID, number: int) -> HttpResponse:
    row = _version(request, policy, number)
    send_back = partial(row.send_back, request.POST.get("reason", ""))
    return _acted(request, row, send_back, _("The version is a draft again."))


@require_POST
@permitted(Permission.MANAGE_POLICIES)
@recently_proven
def retirement(request: TenantRequest, policy: UUID, number: int) -> HttpResponse:
    row = _version(request, policy, number)
    return _acted(request, row, row.retire, _("The version never decides again."))


def _version(request: TenantRequest, policy: UUID, number: int) -> DecisionPolicyVersion:
    rows = request.tenant.decision_policies.select_related("tenant")
    row: DecisionPolicy = get_object_or_404(rows, pk=policy)
    return get_object_or_404(row.versions.select_related("tenant"), number=number)


def _acted(request: TenantRequest, row: DecisionPolicyVersion, act: Any, text: str) -> HttpResponse:
    page, policy = "console:decision_policy_version", row.policy_id
    return report_and_leave(request, act, text, page, policy=policy, number=row.number)


def _to_page(request: TenantRequest, row: DecisionPolicyVersion) -> HttpResponse:
    page, tenant = "console:decision_policy_version", request.tenant.name
    return redirect(page, tenant=tenant, policy=row.policy_id, number=row.number)
