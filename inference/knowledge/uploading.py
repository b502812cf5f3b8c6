"""Uploads of documents: encrypted pieces in order, read in the background once they are whole."""

from datetime import timedelta
from hashlib import sha256

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.retention import legal_hold
from inference.knowledge import encryption, storage_limit
from inference.knowledge.base_keys import BaseSecrets
from inference.knowledge.deleting import discard
from inference.models import Document, DocumentFormat, DocumentPiece, DocumentState, KnowledgeBase
from tenants.models import ApiKey, Member
from tenants.models.model_changes import lock

LARGEST_PIECE = 8 * 1024 * 1024  # bytes
PATIENCE_H = 24  # an upload without its end is given up after that
MOST = 50_000  # documents of a base
_FORMATS = {
    "md": DocumentFormat.MARKDOWN,
    "markdown": DocumentFormat.MARKDOWN,
    "txt": DocumentFormat.TEXT,
    "text": DocumentFormat.TEXT,
    "html": DocumentFormat.HTML,
    "htm": DocumentFormat.HTML,
    "csv": DocumentFormat.FAQ_CSV,
    "jsonl": DocumentFormat.FAQ_JSONL,
    "ndjson": DocumentFormat.FAQ_JSONL,
}


class NotUploading(Exception):
    """The upload is complete, or given up."""


class WrongPiece(Exception):
    """Pieces come in order. `expected` is the number of the next one."""

    def __init__(self, expected: int) -> None:
        super().__init__(expected)
        self.expected = expected


class EmptyUpload(Exception):
    """No piece has come."""


class Duplicate(Exception):
    """The base has this content already, under `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def format_of(name: str) -> DocumentFormat | None:
    """Returns the format that a file's name shows; None for one that is not read."""
    return _FORMATS.get(name.rpartition(".")[2].lower())


def begin(
    base: KnowledgeBase,
    name: str,
    form: DocumentFormat,
    url: str = "",
    *,
    caller: ApiKey | Member,
    by: str,
) -> Document:
    """Begin an upload, whose texts are embedded with the limits of `caller`.

    Raises ValidationError.
    """
    document = Document(
        tenant_id=base.tenant_id,
        base=base,
        name=" ".join(name.replace("\0", "").split()),
        form=form,
        url=url,
        api_key=caller if isinstance(caller, ApiKey) else None,
        member=caller if isinstance(caller, Member) else None,
        created_by=by,
        due_at=timezone.now() + timedelta(hours=PATIENCE_H),
    )
    document.full_clean(exclude=["digest", "ready_at", "leased_until", "api_key", "member"])
    with transaction.atomic():
        lock(base)
        if base.documents.present().count() >= MOST:
            raise ValidationError(_("A knowledge base has at most %d documents.") % MOST)
        document.save(force_insert=True)
    return document


@transaction.atomic
def add_piece(document: Document, number: int, content: bytes) -> None:
    """Store a piece; the last one may be sent again.

    Raises NotUploading, WrongPiece, TooLarge, BaseFull, StorageFull.
    """
    lock(document)
    if document.state != DocumentState.UPLOADING:
        raise NotUploading
    last = document.pieces.order_by("-number").first()
    expected = last.number + 1 if last else 0
    if last and number == last.number and last.size == len(content):
        return
    if number != expected:
        raise WrongPiece(expected)
    storage_limit.reserve(document, len(content))
    piece = DocumentPiece(tenant_id=document.tenant_id, document=document, number=number)
    encryption.encrypt_piece(piece, content)
    piece.save(force_insert=True)


@transaction.atomic
def finish(document: Document) -> Document:
    """Have the upload read. Returns the document that was there if it has the same content.

    Raises NotUploading, EmptyUpload, Duplicate, and OnHold where a legal hold keeps an earlier
    document of its name.
    """
    lock(document)
    if document.state != DocumentState.UPLOADING:
        raise NotUploading
    if not document.size:
        raise EmptyUpload
    digest = BaseSecrets.of(document.base).digest(_sha256(document))
    if same := _same(document, digest):
        return same
    for earlier in document.base.documents.ready().filter(name=document.name):
        legal_hold.refuse_if_held(earlier.tenant_id, earlier.id)
    document.digest, document.state, document.due_at = digest, DocumentState.WAITING, timezone.now()
    document.save(update_fields=["digest", "state", "due_at"])
    document.record(Action.KNOWLEDGE_ADD, document.created_by, form=document.form)
    KnowledgeBase.objects.filter(pk=document.base_id).update(changed_at=timezone.now())
    return document


def give_up(document: Document) -> None:
    """Discard an upload that has no end, or whose content is there."""
    with transaction.atomic():
        lock(document)
        if document.state == DocumentState.UPLOADING:
            discard(document)


def store(
    base: KnowledgeBase,
    name: str,
    form: DocumentFormat,
    content: bytes,
    url: str = "",
    *,
    caller: ApiKey | Member,
    by: str,
) -> Document:
    """Upload a document in one call. Raises as `begin`, `add_piece` and `finish` do."""
    document = begin(base, name, form, url, caller=caller, by=by)
    try:
        for number, start in enumerate(range(0, len(content), LARGEST_PIECE)):
            add_piece(document, number, content[start : start + LARGEST_PIECE])
        stored = finish(document)
    except Exception:
        give_up(document)
        raise
    if stored.pk != document.pk:
        give_up(document)
    return stored


def content(document: Document) -> bytes:
    """Returns the document as it was uploaded. Raises Unreadable, MasterKeyUnavailable."""
    return b"".join(map(encryption.clear_piece, _pieces(document)))


def _sha256(document: Document) -> bytes:
    digest = sha256(document.url.encode() + b"\0")
    for piece in _pieces(document):
        digest.update(encryption.clear_piece(piece))
    return digest.digest()


def _pieces(document: Document) -> list[DocumentPiece]:
    return list(document.pieces.order_by("number").select_related("document"))


def _same(document: Document, digest: bytes) -> Document | None:
    """Returns a document of this name, content and format. Raises Duplicate for another name."""
    others = document.base.documents.exclude(pk=document.pk)
    living = (DocumentState.WAITING, DocumentState.EMBEDDING, DocumentState.READY)
    same = others.filter(digest=digest, state__in=living)
    if namesake := same.exclude(name=document.name).first():
        raise Duplicate(namesake.name)
    return same.filter(form=document.form).first()
