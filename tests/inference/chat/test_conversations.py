"""A member's conversations: kept encrypted, changed by verbs, on record."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.keys.keyring import keyring
from audit.models import DataKey, Event
from audit.retention import legal_hold
from inference.chat import conversations
from inference.chat.conversations import first_words, title_of
from inference.chat.pages import page_data
from inference.models import Conversation
from tenants.models import Member, Tenant
from tests.people import join

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob() -> Member:
    return join(Tenant.open("acme", by="test"), "bob@acme.example")


def test_starting_one(bob: Member) -> None:
    found = conversations.start(bob, "mock", "What is a forebay?")
    assert title_of(found) == "What is a forebay?"
    assert b"forebay" not in bytes(found.title_ciphertext)
    event = Event.objects.get(action="conversation:create")
    assert (event.actor, event.tenant_id, event.subject_id) == (
        bob.actor,
        bob.tenant_id,
        bob.subject_id,
    )
    assert event.detail == {"conversation": str(found.id)}


def test_a_title_opens_nowhere_else(bob: Member) -> None:
    one = conversations.start(bob, "mock", "one")
    two = conversations.start(bob, "mock", "two")
    two.title_ciphertext = one.title_ciphertext
    assert title_of(two) == ""


def test_renaming(bob: Member) -> None:
    found = conversations.start(bob, "mock", "one")
    conversations.rename(found, "  another \n name ")
    assert title_of(Conversation.objects.get()) == "another name"


def test_deleting(bob: Member) -> None:
    conversations.delete(conversations.start(bob, "mock", "one"))
    assert not Conversation.objects.exists()
    assert Event.objects.filter(action="conversation:delete", actor=bob.actor).count() == 1


def test_a_hold_keeps_it(bob: Member) -> None:
    found, ends = conversations.start(bob, "mock", "one"), timezone.now() + timedelta(days=9)
    legal_hold.request(bob.tenant_id, by="user:8", reason="case", expires_at=ends)
    with pytest.raises(legal_hold.OnHold):
        conversations.delete(found)
    assert Conversation.objects.exists()


def test_without_the_key_nothing_can_be_read(bob: Member) -> None:
    found = conversations.start(bob, "mock", "one")
    DataKey.objects.filter(subject_id=bob.subject_id).delete()
    keyring.forget(found.data_key_id)
    assert title_of(Conversation.objects.get()) == ""


def test_the_list_comes_in_pages(bob: Member) -> None:
    made = [conversations.start(bob, "mock", str(n)).id for n in range(page_data.PAGE + 5)]
    first = page_data.page(bob)
    assert (len(first["conversations"]), first["more"]) == (page_data.PAGE, True)
    last = first["conversations"][-1]
    row = Conversation.objects.get(pk=last.id)
    second = page_data.page(bob, row.updated_at)
    assert (len(second["conversations"]), second["more"]) == (5, False)
    listed = [one.id for one in first["conversations"] + second["conversations"]]
    assert listed == made[::-1]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("  Hello,\n world ", "Hello, world"),
        ("word " * 30, "word word word word word word word word word word word…"),
        ("x" * 100, "x" * 59 + "…"),
        ("长" * 60, "长" * 60),
    ],
)
def test_titles_are_the_first_words(text: str, title: str) -> None:
    assert first_words(text) == title
    assert len(title) <= conversations.TITLE_LENGTH
