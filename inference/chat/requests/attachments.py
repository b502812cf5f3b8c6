"""Requests of the page about files: upload in pieces, removal, and what a model gets of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from audit.keys.keyring import Unreadable
from audit.retention.legal_hold import OnHold
from inference.chat.attachments import encryption, selection, uploading
from inference.chat.membership import membership
from inference.chat.problems import ChatRefused, explained, problem
from inference.chat.requests import stored_bytes
from inference.chat.requests.access import as_json, refuse_restricted, signed_in
from inference.models import Attachment
from tenants.models import Member, User
from tenants.scope import person_scope, tenant_scope


@signed_in
@require_http_methods(["GET", "POST"])
def attachments(request: HttpRequest, user: User) -> HttpResponse:
    """List the files that wait to be sent, or begin the upload of one."""
    member = _member(request, user)
    with tenant_scope(member.tenant_id, user.pk):
        if request.method == "GET":
            waiting = selection.of_member(member).unsent().readable().order_by("created_at")
            return as_json([selection.described(row) for row in waiting])
        return _begun(request, member)


def _begun(request: HttpRequest, member: Member) -> HttpResponse:
    name, size = request.POST.get("name", ""), request.POST.get("size", "")
    if not (name.strip() and size.isascii() and size.isdigit() and len(size) < 16):
        return HttpResponse(status=400)
    refuse_restricted(member)
    with transaction.atomic():
        attachment = uploading.begin(member, name, int(size))
        stored_bytes.count(request, member, int(size))
    address = reverse("chat:attachment_pieces", args=[attachment.id])
    begun = {"id": str(attachment.id), "pieces": address, "piece": uploading.PIECE}
    return JsonResponse(begun, status=201)


@signed_in
@require_POST
def pieces(request: HttpRequest, user: User, attachment: UUID) -> HttpResponse:
    """Take a piece; `piece` is its number. A wrong one is told the next number."""
    number, file = request.POST.get("piece", ""), request.FILES.get("file")
    with _inside(user, attachment) as row:
        if file is None or not (number.isascii() and number.isdigit() and len(number) < 6):
            return HttpResponse(status=400)
        try:
            uploading.add_piece(row, int(number), file.read())
        except uploading.WrongPiece as wrong:
            return JsonResponse({"next": wrong.expected}, status=409)
        except ChatRefused as refused:
            return as_json(explained(refused), status=409)
    return HttpResponse(status=204)


@signed_in
@require_POST
def end(request: HttpRequest, user: User, attachment: UUID) -> HttpResponse:
    """Read a whole upload. What cannot be read is deleted; where others are read, it waits."""
    with _inside(user, attachment) as row:
        if row.ciphertext is not None:
            return as_json(selection.described(row))
        content, name = uploading.whole(row), encryption.name_of(row)
    try:
        extracted = uploading.read(content, row.kind, name)
    except ChatRefused as refused:
        if refused.code != "reading_busy":
            with _inside(user, attachment) as row:
                uploading.discard(row)
        raise
    with _inside(user, attachment) as row:
        uploading.store(row, extracted)
        return as_json(selection.described(row))


@signed_in
@require_POST
def removal(request: HttpRequest, user: User, attachment: UUID) -> HttpResponse:
    with _inside(user, attachment) as row:
        try:
            is_removed = uploading.remove(row)
        except OnHold:
            return as_json(problem("file_on_hold"), status=409)
    return HttpResponse(status=204 if is_removed else 404)


@signed_in
@require_GET
def attachment(request: HttpRequest, user: User, attachment: UUID) -> HttpResponse:
    """Show what a model gets of a file: its text, or the image."""
    with _inside(user, attachment, selection.of_user(user).readable()) as row:
        try:
            content = encryption.content_of(row)
        except Unreadable:
            raise Http404 from None
    return HttpResponse(content, row.media_type or "text/plain; charset=utf-8")


def _member(request: HttpRequest, user: User) -> Member:
    with person_scope(user.pk):
        named = request.POST if request.method == "POST" else request.GET
        member = membership(user, named.get("tenant", ""))
    if member is None:
        raise Http404
    return member


@contextmanager
def _inside(user: User, pk: UUID, rows: Any = None) -> Iterator[Attachment]:
    """Yields the attachment in the scope of its tenant; unless `rows` says so, one to be sent."""
    with person_scope(user.pk):
        chosen = selection.of_user(user).unsent() if rows is None else rows
        row = get_object_or_404(chosen, pk=pk)
    with tenant_scope(row.tenant_id, user.pk):
        yield row
