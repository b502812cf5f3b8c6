"""Pages of a tenant's actions: webhooks that assistants call, their secrets and their calls."""

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from audit.keys.keyring import Unreadable
from console.actions.forms import (
    ApprovalForm,
    CallFilter,
    EditionForm,
    NewActionForm,
    RotationForm,
    TrialForm,
)
from console.authorization import TenantRequest, permitted
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from console.trail.actors import Actors
from inference.actions import definitions, trying
from inference.actions.result import ActionResult
from inference.models import ActionCall, WebhookAction
from tenants.roles import Permission

ACTIONS = Table(
    "actions",
    {
        "name": Column(gettext_lazy("Action"), "name", "name"),
        "enabled": Column(gettext_lazy("Enabled"), "enabled", file_only=True),
        "url": Column(gettext_lazy("URL"), "url", "url"),
        "money": Column(gettext_lazy("Money"), "moves_money", "moves_money"),
        "changed": Column(gettext_lazy("Changed"), "changed_at", "changed_at"),
    },
    order="name",
    search=("name", "url"),
)
CALLS = Table(
    "calls",
    {
        "action": Column(gettext_lazy("Action"), "action_name", "action_name"),
        "state": Column(gettext_lazy("State"), lambda row: row.get_state_display(), "state"),
        "reason": Column(gettext_lazy("Reason"), "reason", "reason"),
        "status": Column(gettext_lazy("Status"), "status", file_only=True),
        "time": Column(gettext_lazy("Time"), "latency_ms", numbers=True),
        "created": Column(gettext_lazy("Created"), "created_at", "created_at"),
    },
    order="-created",
    search=("action_name", "reason"),
)


@permitted(Permission.VIEW_ACTIONS)
def actions(request: TenantRequest) -> HttpResponse:
    rows = request.tenant.webhook_actions.all()
    return ACTIONS.page(request, rows, "console/actions/actions.html")


@permitted(Permission.MANAGE_ACTIONS)
def addition(request: TenantRequest) -> HttpResponse:
    form = NewActionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        create = partial(definitions.create, request.tenant, by=request.actor)
        if made := saved(form, lambda: create(**form.fields_of_model())):
            action, secret = made
            return _page(request, action, secret=secret, text=_("The action is there."))
    return render(request, "console/actions/addition.html", {"form": form})


@permitted(Permission.VIEW_ACTIONS)
def action(request: TenantRequest, action: UUID) -> HttpResponse:
    return _page(request, _action(request, action))


@permitted(Permission.MANAGE_ACTIONS)
def edition(request: TenantRequest, action: UUID) -> HttpResponse:
    row = _action(request, action)
    form = EditionForm.of(row, request.POST or None)
    if request.method == "POST" and form.is_valid():
        change = partial(definitions.change, row, by=request.actor)
        if saved(form, lambda: change(**form.fields_of_model())):
            return redirect("console:action", tenant=request.tenant.name, action=row.pk)
    return render(request, "console/actions/edition.html", {"action": row, "form": form})


@require_POST
@permitted(Permission.APPROVE_ASSISTANTS)
def approval(request: TenantRequest, action: UUID) -> HttpResponse:
    """Approve the change that waits, as this person has seen it."""
    row, form = _action(request, action), ApprovalForm(request.POST)
    if not form.is_valid():
        return redirect("console:action", tenant=request.tenant.name, action=row.pk)
    approve = partial(row.approve_change, form.cleaned_data["proposed_at"])
    text = _("The change is approved: calls follow it from now on.")
    return report_and_leave(request, approve, text, "console:action", action=row.pk)


@require_POST
@permitted(Permission.MANAGE_ACTIONS)
def withdrawal(request: TenantRequest, action: UUID) -> HttpResponse:
    row = _action(request, action)
    text = _("The proposed change is withdrawn.")
    return report_and_leave(request, row.withdraw_change, text, "console:action", action=row.pk)


@require_POST
@permitted(Permission.MANAGE_ACTIONS)
def rotation(request: TenantRequest, action: UUID) -> HttpResponse:
    row, form = _action(request, action), RotationForm(request.POST)
    rotate = partial(definitions.rotate, row, by=request.actor)
    if secret := saved(form, lambda: rotate(timedelta(hours=form.cleaned_data["overlap_hours"]))):
        return _page(request, row, secret=secret, text=_("The secret has been replaced."))
    return _page(request, row, rotation=form)


@require_POST
@permitted(Permission.MANAGE_ACTIONS)
def removal(request: TenantRequest, action: UUID) -> HttpResponse:
    row = _action(request, action)
    text = _("The action %(name)s is gone.") % {"name": row.name}
    return report_and_leave(request, row.remove, text, "console:actions")


@require_POST
@permitted(Permission.MANAGE_ACTIONS)
def trial(request: TenantRequest, action: UUID) -> HttpResponse:
    """Send one real request, marked as a test, and show what came of it."""
    row = _action(request, action)
    form = TrialForm(request.POST, row)
    if not form.is_valid():
        return _page(request, row, trial=form)
    if request.member is None:
        form.add_error(None, ValidationError(_("Only members of the tenant may try an action.")))
        return _page(request, row, trial=form)
    result = _tried(request, row, form)
    another = TrialForm(None, row, form.cleaned_data["arguments"])
    return _page(request, row, trial=another, result=result)


def _tried(request: TenantRequest, row: WebhookAction, form: TrialForm) -> ActionResult:
    assert request.member
    trial = trying.Trial(
        action_id=row.pk,
        tenant_id=request.tenant.pk,
        subject_id=request.member.subject_id,
        actor=request.actor,
        language="zh" if (get_language() or "").startswith("zh") else "en",
        confirmed=form.cleaned_data.get("confirmed", False),
        call_id=form.call_id(row, request.actor),
    )
    return async_to_sync(trying.call)(trial, form.cleaned_data["arguments"])


# Calls -------------------------------------------------------------------------------------------
@permitted(Permission.VIEW_ACTIONS)
def calls(request: TenantRequest) -> HttpResponse:
    """List calls without their texts: `?action=` of one action, `?state=` in one state."""
    form = CallFilter(request.GET)
    rows = form.of(request.tenant.action_calls.all())
    return CALLS.page(request, rows, "console/actions/calls.html", form=form, filtered=form.is_set)


@permitted(Permission.ANSWER_DIALOGUES)
def call(request: TenantRequest, call: UUID) -> HttpResponse:
    """Show one call with its texts, and put on the trail who reads them."""
    row = get_object_or_404(request.tenant.action_calls, pk=call)
    row.note_read(by=request.actor)
    actors = Actors.among([row.created_by, row.settled_by], request.tenant)
    context = {
        "call": row,
        "by": actors.name(row.created_by),
        "settled_by": actors.name(row.settled_by) if row.settled_by else "",
        **_texts(row),
    }
    return render(request, "console/actions/call.html", context)


def _texts(row: ActionCall) -> dict[str, Any]:
    try:
        return {"arguments": row.arguments, "answer": row.answer}
    except Unreadable:
        return {"erased": True}


# -------------------------------------------------------------------------------------------------
def _action(request: TenantRequest, action: UUID) -> WebhookAction:
    return get_object_or_404(request.tenant.webhook_actions.select_related("tenant"), pk=action)


def _page(request: TenantRequest, row: WebhookAction, **shown: Any) -> HttpResponse:
    actors = Actors.among([row.created_by, *row.proposal_authors], request.tenant)
    context = {
        "action": row,
        "by": actors.name(row.created_by),
        "proposed_by": actors.name(row.proposed_by) if row.proposed_by else "",
        "is_author": request.actor in row.proposal_authors,
        "rotation": RotationForm(),
        "trial": TrialForm(None, row),
        "recent": row.calls.newest_first()[:10],
        **shown,
    }
    return render(request, "console/actions/action.html", context)
