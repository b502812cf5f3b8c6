"""Search in one's own conversations: titles and texts, in any script, and nobody else's."""

from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from audit.keys.keyring import keyring
from inference.chat import conversations
from inference.chat.collection import search as searching
from inference.chat.collection.search import search
from inference.chat.conversations import message_aad
from inference.models import Author, Conversation, Message
from tenants.models import Member, Tenant
from tests.people import join

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob() -> Member:
    return join(Tenant.open("acme", by="test"), "bob@acme.example")


def write(conversation: Conversation, text: str) -> Message:
    member = conversation.member
    cipher = keyring.of_subject_now(member.tenant_id, member.subject_id)
    message = Message(
        tenant_id=member.tenant_id,
        conversation=conversation,
        author=Author.USER,
        data_key_id=cipher.key_id,
        created_at=timezone.now(),
    )
    message.ciphertext = cipher.encrypt(text.encode(), message_aad(message))
    message.save()
    return message


def titles(member: Member, words: str) -> list[str]:
    return [hit.conversation.title for hit in search(member, words).hits]


def test_it_looks_into_titles_and_messages(bob: Member) -> None:
    tax = conversations.start(bob, "mock", "Tax for 2026")
    message = write(tax, "How are dividends from a French company taxed?")
    conversations.start(bob, "mock", "Cooking")
    (hit,) = search(bob, "FRENCH dividends").hits
    assert (hit.conversation.id, hit.excerpt.message) == (tax.pk, message.pk)
    assert (hit.excerpt.before, hit.excerpt.words) == ("How are dividends from a ", "French")
    assert search(bob, "tax for").hits[0].excerpt.message is None
    assert titles(bob, "nowhere") == []


def test_messages_behind_a_hit_are_not_read(bob: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation may be larger than the memory of a process."""
    monkeypatch.setattr(searching, "MESSAGES", 2)
    chat, read = conversations.start(bob, "mock", "x"), list[object]()
    for number in range(9):
        write(chat, f"needle {number}")
    from_db = Message.from_db

    def counted(*row: Any) -> Message:
        read.append(row)
        return from_db(*row)

    monkeypatch.setattr(Message, "from_db", counted)
    assert search(bob, "needle").hits
    assert len(read) <= 2


@pytest.mark.parametrize("words", ["合同", "违约", "合同 违约金"])
def test_two_chinese_characters_are_enough(bob: Member, words: str) -> None:
    write(conversations.start(bob, "mock", "Law"), "这份合同的违约金条款是否有效？")
    assert titles(bob, words) == ["Law"]


@pytest.mark.parametrize("words", ["", " ", "合"])
def test_less_is_not_searched_for(bob: Member, words: str) -> None:
    write(conversations.start(bob, "mock", "合"), "合")
    assert titles(bob, words) == []


def test_it_finds_archived_ones_but_no_temporary_ones(bob: Member) -> None:
    archived = conversations.start(bob, "mock", "old secret")
    Conversation.objects.filter(pk=archived.pk).update(archived_at=timezone.now())
    write(conversations.start(bob, "mock", "x", temporary=True), "new secret")
    assert titles(bob, "secret") == ["old secret"]


def test_others_conversations_are_not_searched(bob: Member) -> None:
    write(conversations.start(bob, "mock", "mine"), "a secret")
    assert titles(join(bob.tenant, "alice@acme.example"), "secret") == []


def test_a_search_goes_on_where_it_stopped(bob: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_TEXTS", 2)
    monkeypatch.setattr(searching, "AT_ONCE", 2)
    for n in range(5):
        row = conversations.start(bob, "mock", f"chat {n}")
        write(row, "a needle" if n == 0 else "hay")
        Conversation.objects.filter(pk=row.pk).update(
            updated_at=timezone.now() - timedelta(hours=5 - n)
        )
    first = search(bob, "needle")
    assert (first.hits, first.next is None) == ([], False)
    second = search(bob, "needle", first.next)
    third = search(bob, "needle", second.next)
    assert [hit.conversation.title for hit in third.hits] == ["chat 0"]
    assert third.next is None


def test_nothing_of_the_words_is_stored_beside_the_ciphertext(bob: Member) -> None:
    message = write(conversations.start(bob, "mock", "one"), "a needle")
    search(bob, "needle")
    assert all("needle" not in str(value) for value in vars(message).values())


@pytest.mark.django_db(transaction=True)
def test_a_search_waits_for_another_of_the_same_person_and_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bob = join(Tenant.open("acme", by="test"), "bob@acme.example")
    alice = join(bob.tenant, "alice@acme.example")
    conversations.start(bob, "mock", "Law")
    monkeypatch.setattr(searching, "WAIT_S", 0.3)
    began, ends = Event(), Event()

    def holding() -> None:
        with transaction.atomic():
            search(bob, "law")
            began.set()
            ends.wait(30)
        connection.close()

    other = Thread(target=holding)
    other.start()
    try:
        assert began.wait(30)
        with transaction.atomic():
            search(alice, "law")  # nobody waits for somebody else
        with pytest.raises(searching.SearchBusy), transaction.atomic():
            search(bob, "law")
        client = Client()
        client.force_login(bob.user, "allauth.account.auth_backends.AuthenticationBackend")
        answer = client.post("/chat/search/", {"tenant": "acme", "words": "law"})
        assert answer.status_code == 429
        assert int(answer["Retry-After"]) > 0
        assert "search of yours" in answer.json()["text"]
    finally:
        ends.set()
        other.join()
    answer = client.post("/chat/search/", {"tenant": "acme", "words": "law"})
    assert [hit["conversation"]["title"] for hit in answer.json()["hits"]] == ["Law"]
