"""Branches in the record: which messages a conversation shows, and where new ones go."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from inference.chat import exchanges
from inference.chat.protocol import Send
from inference.models import Author, Message
from tenants.models import Member, Tenant
from tests.inference.chat.test_answers import answer, ask
from tests.people import join

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob() -> Member:
    return join(Tenant.open("acme", by="test"), "bob@acme.example")


def test_a_question_follows_the_shown_branch(bob: Member) -> None:
    one = ask(bob, "one")
    answer(bob, one)
    two = ask(bob, "two", one.conversation)
    assert (one.question.parent_id, one.question.is_first) == (None, True)
    assert one.answer.parent_id == one.question.id
    assert (two.question.parent_id, two.question.is_first) == (one.answer.id, False)
    shown = [one.question, one.answer, two.question, two.answer]
    assert one.conversation.branch() == shown
    assert one.conversation.branch(newest=2) == shown[2:]
    assert one.conversation.branch(one.answer.id) == shown[:2]


def test_a_conversation_of_an_older_version_goes_on(bob: Member) -> None:
    one = ask(bob, "one")
    answer(bob, one)
    two = ask(bob, "two", one.conversation)
    answer(bob, two)
    Message.objects.update(parent=None, is_first=False)
    type(one.conversation).objects.update(leaf=None)
    three = ask(bob, "three", one.conversation)
    assert three.question.parent_id == two.answer.id
    assert three.conversation.branch()[:4] == [
        one.question,
        one.answer,
        two.question,
        two.answer,
    ]


def test_what_an_older_version_adds_meanwhile_is_shown(bob: Member) -> None:
    one = ask(bob, "one")
    answer(bob, one)
    late = Message(
        id=uuid4(),
        tenant=bob.tenant,
        conversation=one.conversation,
        author=Author.USER,
        ciphertext=b"from elsewhere",
        data_key_id=one.question.data_key_id,
        created_at=timezone.now() + timedelta(seconds=1),
    )
    late.save(force_insert=True)
    assert one.conversation.branch() == [one.question, one.answer, late]
    send = Send("three", "mock", uuid4(), one.conversation.id)
    put = exchanges.put(bob, send, uuid4())
    assert put.question.parent_id == late.id
    assert put.question.created_at > late.created_at
    assert put.conversation.branch()[-1] == put.answer
