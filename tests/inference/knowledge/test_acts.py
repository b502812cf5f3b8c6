"""Every act on a knowledge base and its event stand or fall together; holds refuse deletion."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from audit.models import Event
from audit.retention import legal_hold
from audit.retention.legal_hold import OnHold
from inference.knowledge import deleting, uploading
from inference.models import Document, DocumentFormat, KnowledgeBase
from inference.personal_data import knowledge
from tenants.models import ApiKey, Tenant

pytestmark = pytest.mark.django_db
BY = "test"


@pytest.fixture
def base(acme: Tenant) -> KnowledgeBase:
    return KnowledgeBase.create(acme, "manual", "mock", by=BY)


@pytest.fixture
def document(base: KnowledgeBase) -> Document:
    """One that is ready."""
    row = stored(base, "a.md", b"# A\none")
    Document.objects.filter(pk=row.pk).update(state="ready")
    row.refresh_from_db()
    return row


def stored(base: KnowledgeBase, name: str, content: bytes) -> Document:
    key, _ = ApiKey.issue(base.tenant, "writer", by=BY)
    return uploading.store(base, name, DocumentFormat.MARKDOWN, content, caller=key, by=BY)


Act = Callable[[KnowledgeBase, Document], Any]
ACTS: dict[str, Act] = {
    "knowledge:create": lambda base, _d: KnowledgeBase.create(base.tenant, "b", "mock", by=BY),
    "knowledge:add": lambda base, _document: stored(base, "b.md", b"# B\ntwo"),
    "knowledge:remove": lambda _base, document: deleting.remove(document, by=BY),
    "knowledge:delete": lambda base, _document: deleting.delete(base, by=BY),
}


@pytest.mark.parametrize("action", ACTS)
def test_it_is_on_record(base: KnowledgeBase, document: Document, action: str) -> None:
    before = Event.objects.filter(action=action).count()
    ACTS[action](base, document)
    assert Event.objects.filter(action=action).count() == before + 1


@pytest.mark.parametrize("action", ["knowledge:create", "knowledge:remove", "knowledge:delete"])
def test_what_cannot_be_put_on_record_is_not_done(
    base: KnowledgeBase, document: Document, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_fields: Any) -> None:
        raise DatabaseError("no room for another event")

    before = rows()
    monkeypatch.setattr(Event.objects, "create", full)
    with pytest.raises(DatabaseError, match="no room"):
        ACTS[action](base, document)
    assert rows() == before


def rows() -> list[Any]:
    models = (KnowledgeBase, Document)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_a_legal_hold_refuses_deletion_and_replacement(
    base: KnowledgeBase, document: Document
) -> None:
    until = timezone.now() + timedelta(days=30)
    hold = legal_hold.request(base.tenant_id, by="user:1", reason="a court asks", expires_at=until)
    legal_hold.approve(hold, by="user:2")
    with pytest.raises(OnHold):
        deleting.remove(document, by=BY)
    with pytest.raises(OnHold):
        deleting.delete(base, by=BY)
    with pytest.raises(OnHold):
        stored(base, document.name, b"# A\nanother")
    assert stored(base, "b.md", b"# B\ntwo").state == "waiting"
    deleting.purge()
    assert Document.objects.filter(state="gone").count() == 1, "the upload that was refused"


def test_retention_deletes_what_was_uploaded_before(
    base: KnowledgeBase, document: Document
) -> None:
    now = timezone.now()
    assert knowledge.erase_old(base.tenant_id, now - timedelta(days=1), frozenset()) == 0
    assert knowledge.erase_old(base.tenant_id, now + timedelta(days=1), frozenset()) == 1
    document.refresh_from_db()
    assert document.state == "gone"
    deleting.purge()
    assert not Document.objects.exists()
    base.refresh_from_db()
    assert base.stored_bytes == 0


def test_a_document_that_is_removed_twice_gives_its_bytes_back_once(
    base: KnowledgeBase, document: Document
) -> None:
    """Else two requests at the same time would make room that the base does not have."""
    stored(base, "b.md", b"# B\ntwo")
    again = Document.objects.get(pk=document.pk)
    deleting.remove(document, by=BY)
    deleting.remove(again, by=BY)
    base.refresh_from_db()
    assert base.stored_bytes == len(b"# B\ntwo")
    assert Event.objects.filter(action="knowledge:remove").count() == 1


def test_the_same_content_in_another_format_is_read_anew(
    base: KnowledgeBase, document: Document
) -> None:
    """Who chose the wrong format at first has no other way to say so."""
    key, _ = ApiKey.issue(base.tenant, "writer", by=BY)
    about = base, document.name, DocumentFormat.TEXT, b"# A\none"
    anew = uploading.store(*about, caller=key, by=BY)
    assert anew.pk != document.pk
    assert (anew.form, anew.state) == ("text", "waiting")
    assert uploading.store(*about, caller=key, by=BY).pk == anew.pk
    with pytest.raises(uploading.Duplicate):
        uploading.store(base, "b.txt", *about[2:], caller=key, by=BY)


def test_an_upload_that_was_finished_meanwhile_is_not_given_up(base: KnowledgeBase) -> None:
    key, _ = ApiKey.issue(base.tenant, "writer", by=BY)
    form = DocumentFormat.MARKDOWN
    begun = uploading.begin(base, "a.md", form, caller=key, by=BY)
    seen = Document.objects.get(pk=begun.pk)
    uploading.add_piece(begun, 0, b"# A")
    uploading.finish(begun)
    uploading.give_up(seen)
    begun.refresh_from_db()
    assert begun.state == "waiting"
