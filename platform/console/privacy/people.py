"""Pages of people who are no members: found by their reference, and what can be done for them."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.erasure import deletion
from audit.exports import portability
from audit.keys.keyring import Barred, Unreadable
from audit.models import DeletionMode, DeletionRequest, Export
from audit.retention import legal_hold
from console import downloads
from console.account.reauthentication import recently_proven, recently_proven_by_factor
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.privacy.deletions import ask, lines
from tenants.models import Person
from tenants.models.people.reference import LONGEST_REFERENCE
from tenants.personal_data import people as records
from tenants.roles import Permission

_KINDS: dict[str, Promise] = {
    "decisions": gettext_lazy("Decisions"),
    "dialogues": gettext_lazy("Dialogues"),
}


class FindForm(ConsoleForm):
    reference = forms.CharField(
        label=gettext_lazy("Reference"),
        max_length=LONGEST_REFERENCE,
        help_text=gettext_lazy("As your programs send it, such as a customer's number."),
    )


class PersonDeletionForm(ConsoleForm):
    mode = forms.ChoiceField(
        label=gettext_lazy("What happens to the data"), choices=DeletionMode.choices
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=deletion.LONGEST_TEXT, required=False
    )


@permitted(Permission.VIEW_PEOPLE)
def people(request: TenantRequest) -> HttpResponse:
    """Find a person. The reference is in the body, so that no log has it."""
    form = FindForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            person = records.find(request.tenant, form.cleaned_data["reference"], by=request.actor)
        except ValidationError as problem:
            form.refuse(problem)
        else:
            if person:
                return _back(request, person)
            form.add_error("reference", _("Nobody is known by this reference."))
    return render(request, "console/persons/find.html", {"form": form})


@permitted(Permission.VIEW_PEOPLE)
def person(request: TenantRequest, person: UUID) -> HttpResponse:
    return _page(request, _person(request, person), PersonDeletionForm())


@require_POST
@permitted(Permission.MANAGE_DELETIONS)
@recently_proven
def person_deletion(request: TenantRequest, person: UUID) -> HttpResponse:
    row, form = _person(request, person), PersonDeletionForm(request.POST)
    if not form.is_valid():
        return _page(request, row, form)
    asker = {"by": request.actor, "decides": True}
    if ask(request, request.tenant.id, row.subject_id, **asker, **form.cleaned_data):
        text = _("The request is executed at once, unless a legal hold covers the data.")
        messages.success(request, text)
    return _back(request, row)


@require_POST
@permitted(Permission.VIEW_PROMPTS)
@recently_proven_by_factor
def person_export(request: TenantRequest, person: UUID) -> HttpResponse:
    row = _person(request, person)
    portability.ask(request.tenant.id, row.subject_id, by=request.actor)
    messages.success(request, _("The export is being created. It appears here when it is ready."))
    return _back(request, row)


@require_POST
@permitted(Permission.VIEW_PROMPTS)
@recently_proven_by_factor
def person_export_download(request: TenantRequest, person: UUID, person_export: UUID) -> Any:
    row = _person(request, person)
    owner = {"tenant_id": request.tenant.id, "subject_id": row.subject_id}
    export = get_object_or_404(Export, pk=person_export, kind=portability.KIND, **owner)
    try:
        pieces = portability.download(export, by=request.actor)
    except Barred:
        text = _("Processing of this person's data is restricted. Nobody can open it for now.")
        messages.error(request, text)
        return _back(request, row)
    except (FileNotFoundError, Unreadable):
        raise Http404 from None
    name, scope = file_name(export), downloads.scope_of(request)
    return downloads.stream(pieces, scope, name, "application/zip", export.bytes)


def file_name(export: Export) -> str:
    return f"person-{export.subject_id}-{export.created_at:%Y-%m-%d}.zip"


def _person(request: TenantRequest, pk: UUID) -> Person:
    return get_object_or_404(request.tenant.people, pk=pk)


def _back(request: TenantRequest, person: Person) -> HttpResponse:
    return redirect("console:person", tenant=request.tenant.name, person=person.pk)


def _page(request: TenantRequest, person: Person, form: PersonDeletionForm) -> HttpResponse:
    owner = {"tenant_id": request.tenant.id, "subject_id": person.subject_id}
    requests = list(DeletionRequest.objects.filter(**owner).newest_first()[:10])
    context = {
        "person": person,
        "stored": [
            (_KINDS.get(rows.name, rows.name), rows.count) for rows in records.stored_rows(person)
        ],
        "lines": lines(requests, request.tenant),
        "hold": legal_hold.in_force(request.tenant.id, person.subject_id),
        "exports": portability.of_subject(**owner),
        "form": form,
    }
    return render(request, "console/persons/person.html", context)
