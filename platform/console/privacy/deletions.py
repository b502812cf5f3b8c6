"""Pages of a tenant's deletion requests: requesting, deciding, progress and certificate."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import CharField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.erasure import deletion, erasers
from audit.erasure.deletion import AlreadyBegun, DeletionRefused, SamePerson
from audit.models import DeletionMode, DeletionRequest, DeletionState, ErasureStep
from console import downloads
from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.forms import ConsoleForm
from console.people.members import roles_to_give
from console.post_only import require_POST
from console.privacy import evidence_words
from console.privacy.refusal_texts import refusal_text
from console.tables import Column, Table
from console.trail.actors import Actors
from tenants.models import ApiKey, Member, Tenant
from tenants.personal_data import subject as pseudonyms
from tenants.personal_data.deciders import Decider
from tenants.personal_data.subject import Subject, parsed
from tenants.roles import Permission

LONGEST_OWNER = 254  # characters of an address, a name or a pseudonym
_MOMENTS = ("requested_at", "approved_at", "started_at", "finished_at")


class OwnForm(ConsoleForm):
    mode = forms.ChoiceField(
        label=gettext_lazy("What happens to the data"), choices=DeletionMode.choices
    )
    removes = forms.BooleanField(label=gettext_lazy("I also leave the tenant"), required=False)
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=deletion.LONGEST_TEXT, required=False
    )


class AskForm(OwnForm):
    whose = forms.CharField(
        label=gettext_lazy("Whose data"),
        max_length=LONGEST_OWNER,
        widget=forms.TextInput(
            attrs={"placeholder": gettext_lazy("Email address, key name, reference or pseudonym")}
        ),
    )
    removes = forms.BooleanField(
        label=gettext_lazy("Also end the membership, or delete the key"), required=False
    )
    field_order = ("whose", "mode", "removes", "reason")


class RefusalForm(ConsoleForm):
    answer = forms.CharField(
        label=gettext_lazy("Answer to the requester"), max_length=deletion.LONGEST_TEXT
    )


@dataclass(frozen=True, slots=True)
class DeletionRow:
    """A request as a page shows it."""

    request: DeletionRequest
    whose: str
    asked_by: str
    tenant: str
    restricted: bool

    @property
    def hours_left(self) -> int:
        return max(0, int(self._left / timedelta(hours=1)))

    @property
    def late(self) -> bool:
        return self._left <= deletion.DUE - deletion.ALERT

    @property
    def _left(self) -> timedelta:
        return self.request.due_at - timezone.now()


_COLUMNS = {
    "whose": Column(gettext_lazy("Whose data"), lambda row: row.whose or _pseudonym(row), "whose"),
    "mode": Column(
        gettext_lazy("What happens to the data"),
        lambda row: row.get_mode_display(),
        file_only=True,
    ),
    "asked": Column(gettext_lazy("Asked for"), "requested_at", "requested_at"),
    "by": Column(gettext_lazy("Asked by"), "requested_by", file_only=True),
    "due": Column(gettext_lazy("Due"), "due_at", "due_at"),
    "state": Column(gettext_lazy("State"), lambda row: row.get_state_display(), "state"),
    "finished": Column(gettext_lazy("Finished"), "finished_at", file_only=True),
}
DELETIONS = Table("deletions", _COLUMNS, order="-asked", search=("whose",))
ALL_DELETIONS = Table(
    "all-deletions",
    {"tenant": Column(gettext_lazy("Tenant"), "tenant_name", "tenant_name"), **_COLUMNS},
    order="-asked",
    search=("whose", "tenant_name"),
)


@permitted(Permission.MANAGE_DELETIONS)
def deletions(request: TenantRequest) -> HttpResponse:
    if request.method == "POST":
        return cast("HttpResponse", _ask_for(request))
    if file := DELETIONS.file(request, with_names(_rows(request))):
        return file
    whose = request.GET.get("whose", "")[:LONGEST_OWNER]
    return _list(request, _rows(request), AskForm(initial={"whose": whose}))


@operators_only
def all_deletions(request: ConsoleRequest) -> HttpResponse:
    rows = DeletionRequest.objects.all()
    return ALL_DELETIONS.file(request, with_names(rows)) or _list(request, rows)


@permitted(Permission.MANAGE_DELETIONS)
def deletion_page(request: TenantRequest, deletion: UUID) -> HttpResponse:
    return _detail_page(request, _request_row(request, deletion), RefusalForm())


@require_POST
@permitted(Permission.MANAGE_DELETIONS)
@recently_proven
def approval(request: TenantRequest, deletion: UUID) -> HttpResponse:
    row = _request_row(request, deletion)
    if not row.by_subject and _refused_as_above(request, row):
        return _back(request, row)
    try:
        _verbs.approve(row, by=request.actor)
        messages.success(request, _("Approved. The request is executed at once."))
    except SamePerson:
        messages.error(request, _("You cannot approve your own request: another person has to."))
    except DeletionRefused:
        messages.error(request, _("This request has already been decided."))
    return _back(request, row)


@require_POST
@permitted(Permission.MANAGE_DELETIONS)
@recently_proven
def lifting(request: TenantRequest, deletion: UUID) -> HttpResponse:
    """Lift a restriction."""
    too_late = _("The retention has ended: the data is being erased.")
    return _answer(request, deletion, _verbs.lift, _("The restriction is lifted."), too_late)


@require_POST
@permitted(Permission.MANAGE_DELETIONS)
@recently_proven
def refusal(request: TenantRequest, deletion: UUID) -> HttpResponse:
    success = _("Refused. The person who asked can read your answer.")
    too_late = _("This request is already being executed.")
    return _answer(request, deletion, _verbs.refuse, success, too_late)


def _answer(
    request: TenantRequest, pk: UUID, verb: Callable[..., None], success: str, too_late: str
) -> HttpResponse:
    row, form = _request_row(request, pk), RefusalForm(request.POST)
    if not form.is_valid():
        return _detail_page(request, row, form)
    if _refused_as_above(request, row):
        return _back(request, row)
    try:
        verb(row, by=request.actor, answer=form.cleaned_data["answer"])
        messages.success(request, success)
    except AlreadyBegun:
        messages.error(request, too_late)
    except DeletionRefused:
        messages.error(request, _("This request has already been decided."))
    return _back(request, row)


@permitted(Permission.MANAGE_DELETIONS)
def certificate(request: TenantRequest, deletion: UUID) -> HttpResponse:
    return certificate_of(request, _request_row(request, deletion))


def certificate_of(request: Any, row: DeletionRequest) -> HttpResponse:
    """Render the certificate as a page, or with ?format=json the signed file."""
    if row.certificate is None:
        raise Http404
    if request.GET.get("format") == "json":
        text = json.dumps(row.certificate, indent=2, ensure_ascii=False)
        return downloads.file(text, f"erasure-{row.id}.json", "application/json")
    body = row.certificate["body"]
    stores = [
        (erasers.label(s["store"]), s, evidence_words.shown(s["evidence"])) for s in body["stores"]
    ]
    moments = {name: _to_the_second(body[name]) for name in _MOMENTS}
    context = {"body": body, "moments": moments, "stores": stores, "certificate": row.certificate}
    return render(request, "console/deletions/certificate.html", context)


def _to_the_second(moment: str | None) -> str:
    """Returns a moment of the certificate without its microseconds."""
    return moment[:19].replace("T", " ") + " UTC" if moment else "–"


# Owner of the data --------------------------------------------------------------------------------
def find_owner(tenant: Tenant, text: str) -> Subject | None:
    """Returns the member with this email address, or the only key with this name or public id.

    Else the person, no member, of this reference.

    People who have left are looked up by the pseudonym that their events show.
    """
    text = text.strip()
    if subject_id := parsed(text):
        return pseudonyms.find(tenant, subject_id)
    members = list(tenant.members.filter(user__email__iexact=text).select_related("tenant")[:2])
    keys = list(tenant.api_keys.filter(Q(name=text) | Q(public_id=text))[:2])
    owners: list[Subject] = [*members, *keys]
    if not owners:
        return pseudonyms.find_person(tenant, text)
    return owners[0] if len(owners) == 1 else None


@recently_proven
def _ask_for(request: TenantRequest) -> HttpResponse:
    form = AskForm(request.POST)
    owner = find_owner(request.tenant, form.cleaned_data["whose"]) if form.is_valid() else None
    if form.is_valid() and owner is None:
        text = _("No member, key or person matches, or several keys have this name.")
        form.add_error("whose", text)
    alone = owner is not None and _decider(request).decides_alone(owner)
    removes = bool(owner) and form.is_valid() and form.cleaned_data["removes"]
    if owner and removes and (refusal := _decider(request).to_remove(owner)):
        form.add_error("removes", refusal_text(refusal))
    if not form.is_valid():
        return _list(request, _rows(request), form)
    assert owner
    if request.POST.get("confirmed") != str(owner.subject_id):
        return _list(request, _rows(request), form, about=_preview(request.tenant, owner))
    del form.cleaned_data["whose"]
    own = owner == request.member
    asker = {"by": request.actor, "decides": alone, "own": own}
    row = ask(request, request.tenant.id, owner.subject_id, **asker, **form.cleaned_data)
    if row is None:
        return redirect("console:deletions", tenant=request.tenant.name)
    if alone:
        text = _("The request is executed at once, unless a legal hold covers the data.")
        messages.success(request, text)
    else:
        text = _("Somebody else has to approve it, because this role is above yours.")
        messages.info(request, text)
    return _back(request, row)


def _preview(tenant: Tenant, owner: Subject) -> dict[str, Any]:
    """Names the owner of the data and counts what is stored, for the question before the act."""
    stores = erasers.stored(tenant.id, owner.subject_id)
    shown = {
        "owner": str(owner if isinstance(owner, ApiKey) else owner.subject_id),
        "subject": owner.subject_id,
        "stores": [(str(eraser.label), count) for eraser, count in stores],
    }
    if isinstance(owner, Member):
        role = owner.get_role_display()
        shown |= {"owner": str(owner.user), "address": owner.user.email, "role": role}
    return shown


def ask(
    request: ConsoleRequest, tenant_id: UUID, subject_id: UUID, **fields: Any
) -> DeletionRequest | None:
    """Returns the new request, or None if it was refused; the person learns why."""
    try:
        return deletion.ask(tenant_id, subject_id, **fields)
    except ValidationError as problem:
        messages.error(request, " ".join(problem.messages))
    except AlreadyBegun:
        messages.error(request, _("This request is already being executed."))
    return None


def _decider(request: TenantRequest) -> Decider:
    return Decider(request.tenant, request.actor, request.member, roles_to_give(request))


def _refused_as_above(request: TenantRequest, row: DeletionRequest) -> bool:
    """Return whether the request concerns a role above the caller's, and show that."""
    refusal = _decider(request).to_decide(row)
    if refusal:
        messages.error(request, refusal_text(refusal))
    return bool(refusal)


def _rows(request: TenantRequest) -> QuerySet[DeletionRequest]:
    return DeletionRequest.objects.filter(tenant_id=request.tenant.id)


def _request_row(request: TenantRequest, pk: UUID) -> DeletionRequest:
    return get_object_or_404(_rows(request), pk=pk)


def _back(request: TenantRequest, row: DeletionRequest) -> HttpResponse:
    return redirect("console:deletion", tenant=request.tenant.name, deletion=row.pk)


# Pages -------------------------------------------------------------------------------------------
def _list(
    request: ConsoleRequest,
    rows: QuerySet[DeletionRequest],
    form: AskForm | None = None,
    about: dict[str, Any] | None = None,
) -> HttpResponse:
    table = DELETIONS if request.tenant else ALL_DELETIONS
    shown = table.shown(request, with_names(rows))
    context = {"table": shown, "lines": lines(shown.rows, request.tenant), "form": form}
    context["about"] = about
    return render(request, "console/deletions/page.html", context)


def _detail_page(request: TenantRequest, row: DeletionRequest, form: RefusalForm) -> HttpResponse:
    (line,) = lines([row], request.tenant)
    decider = _decider(request)
    order = {store.name: n for n, store in enumerate(erasers.in_order())}
    steps = sorted(row.steps.all(), key=lambda step: order.get(step.store, len(order)))
    context = {
        "line": line,
        "form": form,
        "steps": [(erasers.label(step.store), step, _shown_evidence(step)) for step in steps],
        "restricted_until": deletion.restricted_until(row) if line.restricted else None,
        "decidable": row.started_at is None and row.state in _DECIDABLE,
        "not_to_approve": refusal_text(decider.to_approve(row)),
        "not_to_answer": refusal_text(decider.to_decide(row)),
        "lifts": line.restricted,
        "silence_h": settings.DELETION_SILENCE_H if row.by_subject else None,
    }
    return render(request, "console/deletions/deletion.html", context)


_DECIDABLE = (DeletionState.REQUESTED, DeletionState.APPROVED, DeletionState.HELD)


def _shown_evidence(step: ErasureStep) -> list[tuple[str, str]]:
    hidden = ("key_ids", "key_ids_sha256", "tried_at")
    return evidence_words.shown({k: v for k, v in step.evidence.items() if k not in hidden})


def with_names(rows: QuerySet[DeletionRequest]) -> QuerySet[Any]:
    """Annotates `whose`, a member or key while there is one, and the name of the tenant."""
    of_subject = {"subject_id": OuterRef("subject_id"), "tenant": OuterRef("tenant_id")}
    member = Member.objects.filter(**of_subject).values("user__email")[:1]
    key = ApiKey.objects.filter(**of_subject).values("name")[:1]
    tenant = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("name")[:1]
    whose = Coalesce(Subquery(key), Subquery(member), output_field=CharField())
    return rows.annotate(whose=whose, tenant_name=Subquery(tenant))


def lines(rows: list[DeletionRequest], tenant: Tenant | None) -> list[DeletionRow]:
    subjects = [row.subject_id for row in rows]
    members = Member.objects.filter(subject_id__in=subjects)
    names = dict(members.values_list("subject_id", "user__email"))
    names |= ApiKey.objects.filter(subject_id__in=subjects).values_list("subject_id", "name")
    tenants = Tenant.objects.filter(pk__in=[row.tenant_id for row in rows])
    tenant_names = dict(tenants.values_list("pk", "name"))
    actors = Actors.among([row.requested_by for row in rows], tenant)
    return [
        DeletionRow(
            row,
            names.get(row.subject_id) or _pseudonym(row),
            actors.name(row.requested_by),
            tenant_names.get(row.tenant_id, ""),
            deletion.restricts(row) and deletion.is_restricted(row),
        )
        for row in rows
    ]


def _pseudonym(row: DeletionRequest) -> str:
    """Returns the pseudonym, until the deletion is done and it leads to nothing."""
    return _("(erased person)") if row.state == DeletionState.DONE else str(row.subject_id)


_verbs = deletion  # views have a parameter named `deletion`
