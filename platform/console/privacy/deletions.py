"""Deletion requests of a tenant: asked for, decided, watched, proven."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.erasure import deletion, erasers
from audit.erasure.deletion import AlreadyBegun, DeletionRefused, SamePerson
from audit.models import DeletionMode, DeletionRequest, DeletionState, ErasureStep
from console.account.reauthentication import recently_proven
from console.acts_only import require_POST
from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.forms import ConsoleForm
from console.paging import page
from console.people.members import roles_to_give
from console.privacy.why_not import why_not
from console.trail.actors import Actors
from tenants.models import ApiKey, Member, Tenant
from tenants.personal_data import whose as pseudonyms
from tenants.personal_data.deciding import Decider
from tenants.personal_data.whose import Whose, parsed
from tenants.roles import Permission

_MOMENTS = ("requested_at", "approved_at", "started_at", "finished_at")


class AskForm(ConsoleForm):
    whose = forms.CharField(
        label=gettext_lazy("Whose data"),
        max_length=254,
        widget=forms.TextInput(
            attrs={"placeholder": gettext_lazy("Email address, key name or pseudonym")}
        ),
    )
    mode = forms.ChoiceField(
        label=gettext_lazy("What happens to the data"), choices=DeletionMode.choices
    )
    removes = forms.BooleanField(
        label=gettext_lazy("Also end the membership, or delete the key"), required=False
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=deletion.LONGEST_TEXT, required=False
    )


class RefusalForm(ConsoleForm):
    answer = forms.CharField(
        label=gettext_lazy("Answer to the requester"), max_length=deletion.LONGEST_TEXT
    )


@dataclass(frozen=True, slots=True)
class Line:
    """A request as a page shows it."""

    request: DeletionRequest
    whose: str
    asked_by: str
    tenant: str
    hours_left: int
    late: bool
    restricted: bool


@permitted(Permission.MANAGE_DELETIONS)
def deletions(request: TenantRequest) -> HttpResponse:
    if request.method == "POST":
        return cast("HttpResponse", _ask(request))
    return _list(request, DeletionRequest.objects.filter(tenant_id=request.tenant.id), AskForm())


@operators_only
def all_deletions(request: ConsoleRequest) -> HttpResponse:
    return _list(request, DeletionRequest.objects.all())


@permitted(Permission.MANAGE_DELETIONS)
def deletion_page(request: TenantRequest, deletion: UUID) -> HttpResponse:
    return _one(request, _found(request, deletion), RefusalForm())


@require_POST
@permitted(Permission.MANAGE_DELETIONS)
@recently_proven
def approval(request: TenantRequest, deletion: UUID) -> HttpResponse:
    found = _found(request, deletion)
    if not found.by_subject and _is_above(request, found):
        return _back(request, found)
    try:
        _verbs.approve(found, by=request.actor)
        messages.success(request, _("Approved. The request is executed at once."))
    except SamePerson:
        messages.error(request, _("You cannot approve your own request: another person has to."))
    except DeletionRefused:
        messages.error(request, _("This request has already been decided."))
    return _back(request, found)


@require_POST
@permitted(Permission.MANAGE_DELETIONS)
@recently_proven
def lifting(request: TenantRequest, deletion: UUID) -> HttpResponse:
    """Of a restriction."""
    begun = _("The retention has ended: the data is being erased.")
    return _answered(request, deletion, _verbs.lift, _("The restriction is lifted."), begun)


@require_POST
@permitted(Permission.MANAGE_DELETIONS)
@recently_proven
def refusal(request: TenantRequest, deletion: UUID) -> HttpResponse:
    said, begun = (
        _("Refused. The person who asked can read your answer."),
        _("This request is already being executed."),
    )
    return _answered(request, deletion, _verbs.refuse, said, begun)


def _answered(
    request: TenantRequest, pk: UUID, verb: Callable[..., None], said: str, begun: str
) -> HttpResponse:
    found, form = _found(request, pk), RefusalForm(request.POST)
    if not form.is_valid():
        return _one(request, found, form)
    if _is_above(request, found):
        return _back(request, found)
    try:
        verb(found, by=request.actor, answer=form.cleaned_data["answer"])
        messages.success(request, said)
    except AlreadyBegun:
        messages.error(request, begun)
    except DeletionRefused:
        messages.error(request, _("This request has already been decided."))
    return _back(request, found)


@permitted(Permission.MANAGE_DELETIONS)
def certificate(request: TenantRequest, deletion: UUID) -> HttpResponse:
    return certificate_of(request, _found(request, deletion))


def certificate_of(request: Any, found: DeletionRequest) -> HttpResponse:
    """As a page, or with ?format=json as the signed file."""
    if found.certificate is None:
        raise Http404
    if request.GET.get("format") == "json":
        text = json.dumps(found.certificate, indent=2, ensure_ascii=False)
        answer = HttpResponse(text, content_type="application/json")
        answer["Content-Disposition"] = f'attachment; filename="erasure-{found.id}.json"'
        return answer
    body = found.certificate["body"]
    stores = [(erasers.label(s["store"]), s, _evidence(s["evidence"])) for s in body["stores"]]
    moments = {name: _second(body[name]) for name in _MOMENTS}
    context = {
        "body": body,
        "moments": moments,
        "stores": stores,
        "certificate": found.certificate,
    }
    return render(request, "console/deletions/certificate.html", context)


def _second(moment: str | None) -> str:
    """As the certificate has it, without its microseconds."""
    return moment[:19].replace("T", " ") + " UTC" if moment else "–"


def _evidence(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _plain(value)) for name, value in found.items()]


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{e['recipient']} ({e['told']}, {e['at'][:16]})" for e in value) or "–"
    return str(value)


# Whose it is -------------------------------------------------------------------------------------
def find(tenant: Tenant, text: str) -> Whose | None:
    """A member by email address, or a key by name or public id, if only one is so called; whoever
    has left by the pseudonym that events of theirs show.
    """
    text = text.strip()
    if subject_id := parsed(text):
        return pseudonyms.find(tenant, subject_id)
    members = list(tenant.members.filter(user__email__iexact=text).select_related("tenant")[:2])
    keys = list(tenant.api_keys.filter(Q(name=text) | Q(public_id=text))[:2])
    found: list[Whose] = [*members, *keys]
    return found[0] if len(found) == 1 else None


@recently_proven
def _ask(request: TenantRequest) -> HttpResponse:
    form = AskForm(request.POST)
    whose = find(request.tenant, form.data.get("whose", ""))
    if form.is_valid() and whose is None:
        form.add_error("whose", _("No member or key matches, or several keys have this name."))
    alone = whose is not None and _decider(request).decides_alone(whose)
    removes = bool(whose) and form.is_valid() and form.cleaned_data["removes"]
    if whose and removes and (refusal := _decider(request).to_remove(whose)):
        form.add_error("removes", why_not(refusal))
    if not form.is_valid():
        mine = DeletionRequest.objects.filter(tenant_id=request.tenant.id)
        return _list(request, mine, form)
    assert whose
    given = {name: value for name, value in form.cleaned_data.items() if name != "whose"}
    own = whose == request.member
    try:
        asked = _verbs.ask(
            request.tenant.id, whose.subject_id, by=request.actor, decides=alone, own=own, **given
        )
    except ValidationError as problem:
        messages.error(request, " ".join(problem.messages))
        return redirect("console:deletions", tenant=request.tenant.name)
    except AlreadyBegun:
        messages.error(request, _("This request is already being executed."))
        return redirect("console:deletions", tenant=request.tenant.name)
    if alone:
        messages.success(
            request, _("The request is executed at once, unless a legal hold covers the data.")
        )
    else:
        messages.info(
            request, _("Somebody else has to approve it, because this role is above yours.")
        )
    return _back(request, asked)


def _decider(request: TenantRequest) -> Decider:
    return Decider(request.tenant, request.actor, request.member, roles_to_give(request))


def _is_above(request: TenantRequest, found: DeletionRequest) -> bool:
    """And says so."""
    refusal = _decider(request).to_decide(found)
    if refusal:
        messages.error(request, why_not(refusal))
    return bool(refusal)


def _not_to_approve(request: TenantRequest, found: DeletionRequest) -> str:
    """Why whoever looks at the page cannot approve the request; "" where they can."""
    refusal = _decider(request).to_approve(found)
    return why_not(refusal) if refusal else ""


def _not_to_answer(request: TenantRequest, found: DeletionRequest) -> str:
    """Why they can neither refuse nor lift it; "" where they can."""
    refusal = _decider(request).to_decide(found)
    return why_not(refusal) if refusal else ""


def _found(request: TenantRequest, pk: UUID) -> DeletionRequest:
    rows = DeletionRequest.objects.filter(tenant_id=request.tenant.id)
    found: DeletionRequest = get_object_or_404(rows, pk=pk)
    return found


def _back(request: TenantRequest, found: DeletionRequest) -> HttpResponse:
    return redirect("console:deletion", tenant=request.tenant.name, deletion=found.pk)


# Pages -------------------------------------------------------------------------------------------
def _list(
    request: ConsoleRequest, rows: QuerySet[DeletionRequest], form: AskForm | None = None
) -> HttpResponse:
    shown = page(rows, "requested_at", request.GET.get("cursor", ""))
    context = {"page": shown, "lines": lines(shown.rows, request.tenant), "form": form}
    return render(request, "console/deletions/page.html", context)


def _one(request: TenantRequest, found: DeletionRequest, form: RefusalForm) -> HttpResponse:
    (line,) = lines([found], request.tenant)
    order = {store.name: n for n, store in enumerate(erasers.in_order())}
    steps = sorted(found.steps.all(), key=lambda step: order.get(step.store, len(order)))
    context = {
        "line": line,
        "form": form,
        "steps": [(erasers.label(step.store), step, _shown(step)) for step in steps],
        "restricted_until": deletion.restricted_until(found) if line.restricted else None,
        "decidable": _decidable(found),
        "not_to_approve": _not_to_approve(request, found),
        "not_to_answer": _not_to_answer(request, found),
        "lifts": line.restricted,
        "silence_h": settings.DELETION_SILENCE_H if found.by_subject else None,
    }
    return render(request, "console/deletions/deletion.html", context)


_DECIDABLE = (DeletionState.REQUESTED, DeletionState.APPROVED, DeletionState.HELD)


def _decidable(found: DeletionRequest) -> bool:
    return found.started_at is None and found.state in _DECIDABLE


def _shown(step: ErasureStep) -> list[tuple[str, str]]:
    hidden = ("key_ids", "key_ids_sha256", "tried_at")
    return _evidence({k: v for k, v in step.evidence.items() if k not in hidden})


def lines(rows: list[DeletionRequest], tenant: Tenant | None) -> list[Line]:
    subjects = [row.subject_id for row in rows]
    names: dict[UUID, str] = {
        member.subject_id: member.user.email
        for member in Member.objects.filter(subject_id__in=subjects).select_related("user")
    }
    keys = ApiKey.objects.filter(subject_id__in=subjects)
    names |= {key.subject_id: key.name for key in keys}
    tenants = Tenant.objects.filter(pk__in=[row.tenant_id for row in rows])
    called = {found.pk: found.name for found in tenants}
    actors = Actors.among([row.requested_by for row in rows], tenant)
    return [_line(row, names, called, actors) for row in rows]


def _line(
    row: DeletionRequest, names: dict[UUID, str], tenants: dict[UUID, str], actors: Actors
) -> Line:
    left = (row.due_at - timezone.now()).total_seconds() / 3600
    return Line(
        request=row,
        whose=names.get(row.subject_id) or _nameless(row),
        asked_by=actors.name(row.requested_by),
        tenant=tenants.get(row.tenant_id, ""),
        hours_left=max(0, int(left)),
        late=left <= (deletion.DUE - deletion.ALERT).total_seconds() / 3600,
        restricted=deletion.restricts(row) and deletion.is_restricted(row),
    )


def _nameless(row: DeletionRequest) -> str:
    """Their pseudonym until it leads to nothing any more."""
    return _("nobody any more") if row.state == DeletionState.DONE else str(row.subject_id)


_verbs = deletion  # views take a parameter of that name
