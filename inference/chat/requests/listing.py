"""Requests of the chat's list: pins, the archive, folders, deletion of several."""

from functools import partial
from uuid import UUID

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_POST

from inference.chat.collection import folders, organising
from inference.chat.listed import listed
from inference.chat.requests.access import as_json, as_member, inside, refuse_restricted, signed_in
from inference.chat.socket import tabs
from inference.chat.socket.stopping import stop_all_on_commit
from inference.models import ConversationFolder
from tenants.models import User
from tenants.scope import person_scope, tenant_scope


@signed_in
@require_POST
def pin(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    with inside(user, conversation) as opened:
        organising.pin(opened, pinned=_yes(request))
    return _changed(opened.member_id, conversation, listed(opened))


@signed_in
@require_POST
def archive(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    with inside(user, conversation) as opened:
        organising.archive(opened, archived=_yes(request))
    return _changed(opened.member_id, conversation, listed(opened))


@signed_in
@require_POST
def move(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    """Move it to a folder of the same member, or out of one."""
    try:
        wanted = UUID(request.POST["folder"]) if request.POST.get("folder") else None
    except ValueError:
        return HttpResponseBadRequest("`folder` must be an id")
    with inside(user, conversation) as opened:
        owned = folders.of_member(opened.member)
        organising.move(opened, get_object_or_404(owned, pk=wanted) if wanted else None)
    return _changed(opened.member_id, conversation, listed(opened))


@signed_in
@require_POST
def deletions(request: HttpRequest, user: User) -> HttpResponse:
    """Delete the named conversations, and tell which were kept and why."""
    try:
        ids = [UUID(each) for each in request.POST.getlist("conversation")]
    except ValueError:
        return HttpResponseBadRequest("`conversation` must be ids")
    if len(ids) > organising.MOST_AT_ONCE:
        return HttpResponseBadRequest(f"at most {organising.MOST_AT_ONCE} at once")
    stop = partial(stop_all_on_commit, getattr(request, "scope", None))
    with as_member(user, request.POST.get("tenant", "")) as member:
        refuse_restricted(member)
        report = organising.delete_many(member, ids, stop)
    for deleted in report.deleted[:1]:  # a tab reads the whole list again
        async_to_sync(tabs.announce)(member.pk, deleted)
    return as_json(report)


@signed_in
@require_http_methods(["GET", "POST"])
def folder_list(request: HttpRequest, user: User) -> HttpResponse:
    """Return the folders, or make one."""
    name = request.POST.get("name", "").strip()
    if request.method == "POST" and not name:
        return HttpResponse(status=400)
    query = request.POST if request.method == "POST" else request.GET
    with as_member(user, query.get("tenant", "")) as member:
        if request.method == "GET":
            return as_json([folders.listed(folder) for folder in folders.of_member(member)])
        folder = folders.create(member, name)
        return _changed(member.pk, folder.pk, folders.listed(folder))


@signed_in
@require_POST
def folder_name(request: HttpRequest, user: User, folder: UUID) -> HttpResponse:
    name = request.POST.get("name", "").strip()
    if not name:
        return HttpResponse(status=400)
    owned = _own_folder(user, folder)
    with tenant_scope(owned.tenant_id, user.pk):
        folders.rename(owned, name)
        return _changed(owned.member_id, folder, folders.listed(owned))


@signed_in
@require_POST
def folder_deletion(request: HttpRequest, user: User, folder: UUID) -> HttpResponse:
    """Delete a folder; its conversations stay."""
    owned = _own_folder(user, folder)
    with tenant_scope(owned.tenant_id, user.pk):
        owned.delete()
    return _changed(owned.member_id, folder, {})


def _own_folder(user: User, folder: UUID) -> ConversationFolder:
    with person_scope(user.pk):
        return get_object_or_404(folders.of_user(user), pk=folder)


def _yes(request: HttpRequest) -> bool:
    return request.POST.get("on", "") == "yes"


def _changed(member_id: UUID, changed_id: UUID, content: object) -> HttpResponse:
    """Tell the member's tabs, which read the list again."""
    async_to_sync(tabs.announce)(member_id, changed_id)
    return as_json(content)
