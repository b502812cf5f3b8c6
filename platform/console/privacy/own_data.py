"""Page of one's own data in each tenant: exporting it, or requesting its deletion."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core import signing
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.erasure import deletion
from audit.exports import portability
from audit.keys.keyring import Barred, Unreadable
from audit.models import DeletionMode, DeletionRequest, DeletionState, Export
from console import downloads
from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, before_sign_in, signed_in
from console.post_only import require_POST
from console.privacy.deletions import OwnForm, ask, certificate_of
from tenants.accounts import text_lock
from tenants.models import Member
from tenants.models.member import is_last_owner
from tenants.roles import Permission
from tenants.scope import tenant_scope

_OVER = (DeletionState.DONE, DeletionState.REFUSED)
SALT = "deletion-request"  # of the link that shows a request without an account


@dataclass(frozen=True, slots=True)
class Followed:
    """A request about the person, with a link that works after their account is gone."""

    found: DeletionRequest
    link: str
    restricted: bool


@dataclass(frozen=True, slots=True)
class Part:
    """The person's data in one tenant."""

    member: Member
    requests: list[Followed]
    exports: list[Export]
    form: OwnForm

    @property
    def askable(self) -> bool:
        """Returns whether they may request a deletion.

        They may during a restriction too, and while somebody else's request about them waits.
        """
        erasures = [one.found for one in self.requests if one.found.mode == DeletionMode.ERASE]
        waiting = [one for one in erasures if one.state not in _OVER]
        return not any(one.by_subject or one.approved_at for one in waiting)


@signed_in
def own_data(request: ConsoleRequest) -> HttpResponse:
    return _page(request)


@require_POST
@signed_in
@recently_proven
def own_deletion(request: ConsoleRequest, member: UUID) -> HttpResponse:
    own_member, form = _own_member(request, member), OwnForm(request.POST)
    if form.is_valid() and form.cleaned_data["removes"]:
        with tenant_scope(own_member.tenant_id, request.user.pk):
            if is_last_owner(own_member):
                form.add_error("removes", _("A tenant keeps at least one owner."))
    if not form.is_valid():
        return _page(request, {own_member.pk: form})
    decides = own_member.may(Permission.MANAGE_DELETIONS)
    asker = {"by": own_member.actor, "decides": decides, "own": True}
    tenant_id, subject_id = own_member.tenant_id, own_member.subject_id
    with tenant_scope(tenant_id, request.user.pk):
        row = ask(request, tenant_id, subject_id, **asker, **form.cleaned_data)
    if row is None:
        return redirect("console:own_data")
    return redirect(link_of(row))


@require_POST
@signed_in
@recently_proven
def own_export(request: ConsoleRequest, member: UUID) -> HttpResponse:
    own_member = _own_member(request, member)
    if text_lock.of(request.user):
        return _texts_locked(request)
    with tenant_scope(own_member.tenant_id, request.user.pk):
        portability.ask(own_member.tenant_id, own_member.subject_id, by=own_member.actor)
    messages.success(request, _("Your export is being created. It appears here when it is ready."))
    return redirect("console:own_data")


@require_POST
@signed_in
@recently_proven
def own_export_download(request: ConsoleRequest, member: UUID, own_export: UUID) -> Any:
    own_member = _own_member(request, member)
    if text_lock.of(request.user):
        return _texts_locked(request)
    with tenant_scope(own_member.tenant_id, request.user.pk):
        export = _export(own_member, own_export)
        try:
            pieces = portability.download(export, by=own_member.actor)
        except Barred:
            messages.error(
                request, _("Processing of your data is restricted. Nobody can open it for now.")
            )
            return redirect("console:own_data")
        except (FileNotFoundError, Unreadable):
            raise Http404 from None
    name = f"my-data-{own_member.tenant.name}-{export.created_at:%Y-%m-%d}.zip"
    return downloads.stream(pieces, nullcontext, name, "application/zip", export.bytes)


def _texts_locked(request: ConsoleRequest) -> HttpResponse:
    messages.error(request, _("Your older texts are locked. This page says why."))
    return redirect("console:own_data")


@before_sign_in
def followed(request: Any, token: str) -> HttpResponse:
    """Show a request to anybody who has its link: after an erasure there is no other way to it."""
    try:
        pk = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        raise Http404 from None
    row = get_object_or_404(DeletionRequest, pk=pk)
    if "certificate" in request.GET or "format" in request.GET:
        return certificate_of(request, row)
    steps = row.steps.count()
    context = {
        "found": row,
        "steps": steps,
        "done": steps - row.steps.filter(finished_at=None).count(),
        "lifted": deletion.was_lifted(row),
        "silence_h": settings.DELETION_SILENCE_H if row.by_subject else None,
    }
    return render(request, "console/deletions/followed.html", context)


def link_of(row: DeletionRequest) -> str:
    return reverse("console:followed", args=[signing.dumps(str(row.pk), salt=SALT)])


def _page(request: ConsoleRequest, forms_: dict[UUID, OwnForm] | None = None) -> HttpResponse:
    parts = [
        _part(member, (forms_ or {}).get(member.pk))
        for member in Member.objects.of(request.user).order_by("tenant__name")
    ]
    shown = {"parts": parts, "text_lock": text_lock.of(request.user)}
    return render(request, "account/data.html", shown)


def _part(member: Member, form: OwnForm | None) -> Part:
    with tenant_scope(member.tenant_id, member.user_id):
        scope = {"tenant_id": member.tenant_id, "subject_id": member.subject_id}
        rows = DeletionRequest.objects.filter(**scope).newest_first()
        shown = list(rows.open()) or list(rows[:1])
        requests = [Followed(one, link_of(one), deletion.restricts(one)) for one in shown]
        exports = portability.of_subject(**scope)
    return Part(member, requests, exports, form or OwnForm())


def _own_member(request: ConsoleRequest, member: UUID) -> Member:
    return get_object_or_404(Member.objects.of(request.user), pk=member)


def _export(member: Member, pk: UUID) -> Export:
    owner = {"tenant_id": member.tenant_id, "subject_id": member.subject_id}
    return get_object_or_404(Export, pk=pk, kind=portability.KIND, **owner)
