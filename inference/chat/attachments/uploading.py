"""Uploads of attachments: encrypted pieces in order, then what a model gets of the whole.

The file itself does not stay. Reading it takes seconds, so it happens outside of a transaction:
`whole` in one, `store` in another.
"""

import math
import re
from contextlib import suppress

from django.db import transaction
from django.db.models import Max, Sum
from django.utils import timezone

from audit.retention import legal_hold
from audit.retention.legal_hold import OnHold
from inference.chat import prompt
from inference.chat.attachments import bounds, encryption
from inference.chat.attachments.words import refused, unreadable
from inference.chat.content import IMAGE_TOKENS
from inference.chat.problems import ChatRefused
from inference.models import Attachment, AttachmentPiece
from inference.models.chat.attachment import AttachmentQuerySet
from inference.text_extraction.extraction import ExtractionBusy, extract
from inference.text_extraction.kinds import FileKind, kind_of
from inference.text_extraction.unreadable import UnreadableDocument
from inference.text_extraction.wire import Extracted
from tenants.models import Member
from tenants.models.model_changes import lock
from tenants.scope import tenant_scope

LONGEST_NAME = 200
PIECE = 512 * 1024  # bytes of a piece; a form may have twice as much


class WrongPiece(Exception):
    """Pieces come in order. `expected` is the number of the next one."""

    def __init__(self, expected: int) -> None:
        super().__init__(expected)
        self.expected = expected


def begin(member: Member, name: str, size: int) -> Attachment:
    """Begin an upload. Raises ChatRefused, Barred."""
    name = _clean(name)
    try:
        kind = kind_of(name)
    except UnreadableDocument as problem:
        raise unreadable(problem, name) from None
    attachment = Attachment(tenant_id=member.tenant_id, member=member, kind=kind, size=size)
    with transaction.atomic():
        bounds.check(member, name, size)
        encryption.encrypt_name(attachment, name)
        attachment.save(force_insert=True)
    return attachment


def _clean(name: str) -> str:
    """Returns a file's name without its folders, and without marks that reverse what is shown."""
    base = re.split(r"[/\\]", " ".join(name.split()))[-1]
    return "".join(filter(str.isprintable, base))[-LONGEST_NAME:]


@transaction.atomic
def add_piece(attachment: Attachment, number: int, content: bytes) -> None:
    """Store a piece; the last one may be sent again. Raises ChatRefused, WrongPiece."""
    lock(attachment)
    so_far = attachment.pieces.aggregate(last=Max("number"), size=Sum("size", default=0))
    expected = 0 if so_far["last"] is None else so_far["last"] + 1
    if number == expected - 1:
        return
    if number != expected or not content:
        raise WrongPiece(expected)
    if attachment.ciphertext is not None or so_far["size"] + len(content) > attachment.size:
        raise ChatRefused("invalid_message")
    piece = AttachmentPiece(tenant_id=attachment.tenant_id, attachment=attachment, number=number)
    encryption.encrypt_piece(piece, content)
    piece.save(force_insert=True)


def whole(attachment: Attachment) -> bytes:
    """Returns the file. Raises ChatRefused if a piece of it is missing."""
    pieces = attachment.pieces.order_by("number").select_related("attachment")
    content = b"".join(map(encryption.clear_piece, pieces))
    if len(content) != attachment.size:
        raise ChatRefused("invalid_message")
    return content


def read(content: bytes, kind: str, name: str) -> Extracted:
    """Returns what a model gets of a file. Raises ChatRefused."""
    try:
        return extract(content, FileKind(kind))
    except UnreadableDocument as problem:
        raise unreadable(problem, name) from None
    except ExtractionBusy:
        raise refused("reading_busy") from None


@transaction.atomic
def store(attachment: Attachment, extracted: Extracted) -> None:
    """Keep what was read, and drop the file. Does nothing if it was read before."""
    lock(attachment)
    if attachment.ciphertext is not None:
        return
    encryption.encrypt_content(attachment, extracted.image or extracted.text.encode())
    attachment.pages, attachment.media_type = extracted.pages, extracted.media_type
    attachment.tokens = math.ceil(prompt.tokens(extracted.text)) or IMAGE_TOKENS
    attachment.save(update_fields=["ciphertext", "pages", "media_type", "tokens"])
    attachment.pieces.all().delete()


def remove(attachment: Attachment) -> bool:
    """Delete one that was not sent. Returns False if it has been by now. Raises OnHold."""
    with transaction.atomic():
        legal_hold.refuse_if_held(attachment.tenant_id, attachment.member.subject_id)
        return _delete(Attachment.objects.unsent(), attachment)


def discard(attachment: Attachment) -> None:
    """Delete one that cannot be read, unless another request has read it."""
    with transaction.atomic():
        _delete(Attachment.objects.unsent().filter(ciphertext=None), attachment)


def _delete(rows: AttachmentQuerySet, attachment: Attachment) -> bool:
    """Delete it if it is among the rows. A question that takes it has the lock (sent.py)."""
    row = rows.filter(pk=attachment.pk).select_for_update().first()
    if row:
        row.delete()
    return row is not None


def delete_abandoned() -> None:
    """Delete those that nobody sent in time. A legal hold keeps them."""
    before = timezone.now() - bounds.UNSENT_FOR
    abandoned = Attachment.objects.unsent().filter(created_at__lt=before)
    for attachment in abandoned.select_related("member").order_by("created_at").iterator():
        with tenant_scope(attachment.tenant_id), suppress(OnHold):
            remove(attachment)
