"""What a person of a tenant, or a stranger in their account, tries at the chat."""

import time
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from config.pages.page_request import KNOWN
from config.pages.turns import MOST
from inference.chat import branches, conversations
from inference.chat.attachments import selection
from inference.chat.collection import folders, sharing
from inference.chat.collection.pdf import MOST_CHARACTERS, as_pdf
from inference.chat.collection.transcript import Entry, Transcript
from inference.chat.presets import storing
from inference.chat.presets.storing import PresetContent
from inference.intake.errors import NotAdmitted
from inference.models import Attachment, Audience, Conversation, Message, PresetLevel
from inference.text_extraction import extraction
from tenants.models import Member, Quota, Tenant, TextLock, User
from tenants.models.tenant import Sharing, TemporaryChats
from tenants.rate_limits.admission import Admission
from tenants.roles import Role
from tests.inference.chat.attachments.uploads import attach
from tests.inference.chat.test_documents import signed_in
from tests.inference.chat.test_search import write
from tests.people import join

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob() -> Member:
    return join(Tenant.open("acme", by="test"), "bob@acme.example")


@pytest.fixture
def client(bob: Member) -> Client:
    return signed_in(bob)


@pytest.fixture
def chat(bob: Member) -> Conversation:
    row = conversations.start(bob, "mock", "Salaries")
    row.leaf = write(row, "What does Grace earn?")
    row.save()
    Message.objects.update(is_first=True)
    return row


def document(text: str) -> Transcript:
    now = timezone.now()
    entry = Entry(id=uuid4(), author="user", text=text, created_at=now)
    return Transcript(
        title="t", model="m", created_at=now, exported_at=now, messages=[entry], shown=[entry.id]
    )


# A stranger with a link for a new password -------------------------------------------------------
def test_folders_copies_and_presets_from_before_are_locked(
    bob: Member, client: Client, chat: Conversation
) -> None:
    folders.create(bob, "Layoffs")
    sharing.share(chat, Audience.MEMBERS, 7)
    own = storing.create(bob, PresetLevel.PERSONAL, PresetContent("My diary"))
    now = timezone.now()
    TextLock.objects.create(user=bob.user, since=now, before=now, made_by=["member:1"])
    assert client.get("/chat/folders/").json() == []
    assert client.get("/chat/shares/").json() == []
    assert client.get("/chat/presets/").json() == []
    assert client.post(f"/chat/presets/{own.pk}/", {"name": "x"}).status_code == 404
    later = timezone.now() + timedelta(seconds=1)
    folder = folders.create(bob, "New")
    type(folder).objects.filter(pk=folder.pk).update(created_at=later)
    assert [row["name"] for row in client.get("/chat/folders/").json()] == ["New"]


# A file that takes long to write -----------------------------------------------------------------
@pytest.mark.parametrize(
    "text", ["a\n" * 15_000, "```\n" + "x\n" * 15_000 + "```", "a\xad" * 6_000]
)
def test_a_pdf_of_many_lines_or_soft_hyphens_is_written_in_seconds(text: str) -> None:
    began = time.process_time()
    assert as_pdf(document(text)).startswith(b"%PDF-")
    assert time.process_time() - began < 8


def test_a_pdf_has_bounds(client: Client, chat: Conversation) -> None:
    write(chat, "a" * (MOST_CHARACTERS + 1))
    long = client.get(f"/chat/c/{chat.pk}/export/?form=pdf&branches=all")
    assert (long.status_code, long["Content-Type"]) == (409, "text/plain; charset=utf-8")
    assert client.get(f"/chat/c/{chat.pk}/export/?form=markdown").status_code == 200


# Names of files ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/notes.md", "notes.md"),
        ("C:\\secret\\notes.md", "notes.md"),
        ("plan\u202ecod.md", "plancod.md"),
        ("one\0two\n.md", "onetwo .md"),
    ],
)
def test_a_files_name_is_what_it_looks_like(client: Client, name: str, shown: str) -> None:
    assert attach(client, name, b"words").json()["name"] == shown


# Files that keep a process busy -------------------------------------------------------------------
def test_files_of_some_do_not_take_all_threads_of_pages(client: Client) -> None:
    places = [extraction._places.acquire(timeout=0) for _ in range(MOST + 1)]
    try:
        began = time.monotonic()
        refused = attach(client, "notes.md", b"words")
        assert (refused.status_code, refused.json()["code"]) == (409, "reading_busy")
        assert time.monotonic() - began < extraction.PATIENCE_S / 2
    finally:
        for _ in range(sum(places)):
            extraction._places.release()
    assert sum(places) == extraction.AT_ONCE + extraction.WAITING < KNOWN._most
    row = Attachment.objects.get()
    assert client.post(f"/chat/attachments/{row.pk}/end/").json()["name"] == "notes.md"


# A person who was shut out ------------------------------------------------------------------------
def test_copies_of_a_person_who_may_not_chat_are_shut(bob: Member, chat: Conversation) -> None:
    bob.tenant.change(by="test", chat_sharing=Sharing.LINKS)
    chat.member.tenant.refresh_from_db()
    _copy, url = sharing.share(chat, Audience.LINK, 7)
    path = urlsplit(url).path
    assert Client().get(path).status_code == 200
    Member.objects.filter(pk=bob.pk).update(role=Role.AUDITOR)
    assert Client().get(path).status_code == 302
    Member.objects.filter(pk=bob.pk).update(role=Role.MEMBER)
    User.objects.filter(pk=bob.user_id).update(is_active=False)
    assert Client().get(path).status_code == 302


@pytest.mark.parametrize("before", ["0001-01-01T00:00:00", "2026-12-01", "x"])
def test_a_time_without_its_zone_is_refused(before: str, client: Client) -> None:
    words = {"words": "hello", "before": before}
    assert client.post("/chat/search/", words).status_code == 400
    assert client.get("/chat/conversations/", {"before": before}).status_code == 400


# Amounts and sizes that a process cannot hold ----------------------------------------------------
@pytest.mark.parametrize("amount", ["1e999999", "1e99999999999", "-1e999999", "NaN", "Infinity"])
@pytest.mark.parametrize("unit", ["tokens", "cost"])
def test_an_amount_without_end_is_refused_at_once(
    amount: str, unit: str, bob: Member, client: Client
) -> None:
    quota = Quota.set(bob.tenant, unit=unit, window="day", limit=1000, by="test")
    began = time.process_time()
    answer = client.post(f"/chat/quotas/{quota.pk}/raises/", {"amount": amount})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_amount")
    assert time.process_time() - began < 2


def test_files_of_a_prompt_have_a_bound(
    chat: Conversation, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one.txt", "two.txt"):
        assert attach(client, name, b"words " * 100).status_code == 200
    Attachment.objects.update(message=chat.leaf)
    monkeypatch.setattr(selection, "MOST_BYTES", 1000)
    assert chat.leaf
    (files,) = selection.contents_by_message([chat.leaf]).values()
    assert len(files) == 1


def test_a_fork_counts_as_what_it_stores(
    chat: Conversation, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def charge(request: object, member: Member, size: int) -> None:
        sizes.append(size)
        raise NotAdmitted(Admission("stored", limit=1))

    monkeypatch.setattr("inference.chat.requests.stored_bytes.count", charge)
    assert chat.leaf
    answer = client.post(f"/chat/c/{chat.pk}/fork/", {"message": str(chat.leaf.pk)})
    assert (answer.status_code, answer.json()["code"]) == (409, "rate_limit_exceeded")
    assert sizes == [len(bytes(chat.leaf.ciphertext or b""))]
    assert Conversation.objects.count() == 1


# A fork of a chat from before a rule -------------------------------------------------------------
def test_a_fork_is_a_new_chat_of_the_tenants_rule(bob: Member, chat: Conversation) -> None:
    assert chat.leaf
    bob.tenant.change(by="test", temporary_chats=TemporaryChats.ALWAYS)
    chat.member.tenant.refresh_from_db()
    assert branches.fork(chat, chat.leaf.pk).temporary
    bob.tenant.change(by="test", temporary_chats=TemporaryChats.NEVER)
    chat.member.tenant.refresh_from_db()
    chat.temporary = True
    assert not branches.fork(chat, chat.leaf.pk).temporary
