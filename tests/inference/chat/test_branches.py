"""Branches in the record: which messages a conversation shows, and where new ones go."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from inference.chat import branches, exchanges, history, placement
from inference.chat.answers import branch_turns
from inference.chat.branches import NotInConversation
from inference.chat.conversations import said_in, title_of
from inference.chat.exchanges import Exchange
from inference.chat.history import CONTINUE
from inference.chat.problems import ChatRefused
from inference.chat.protocol import Again, Part, Send
from inference.models import Author, Message
from inference.personal_data import portability
from inference.reasoning import Said, packed
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


# Edited, answered again, continued --------------------------------------------------------------
def answered(
    member: Member, question: str, text: str | bytes, after: Exchange | None = None
) -> Exchange:
    exchange = ask(member, question, after.conversation if after else None)
    answer(member, exchange, text)
    return exchange


def again(member: Member, exchange: Exchange, text: str = "", **fields: bool) -> Exchange:
    request = Again(uuid4(), exchange.answer.id, "mock", **fields)
    repeated = exchanges.put(member, request, uuid4())
    if text:
        answer(member, repeated, text)
    return repeated


def texts(exchange: Exchange) -> list[str]:
    return [turn.text for turn in branch_turns(exchange.conversation)]


def contents(member: Member, request: Send | Again) -> list[str]:
    earlier, question, _conversation = history.inquiry(member, request)
    return [*(message["content"] for message in earlier.messages), question]


def test_an_edited_question_stands_beside_the_first_one(bob: Member) -> None:
    one = answered(bob, "one", "1")
    two = answered(bob, "two", "2", one)
    send = Send("two!", "mock", uuid4(), one.conversation.id, edits=two.question.id)
    assert contents(bob, send) == ["one", "1", "two!"]
    edited = exchanges.put(bob, send, uuid4())
    answer(bob, edited, "2!")
    one.conversation.refresh_from_db()
    assert texts(one) == ["one", "1", "two!", "2!"]
    turn = branch_turns(one.conversation)[2]
    assert (turn.siblings, turn.sibling) == ([two.question.id, send.message], send.message)
    branches.choose(one.conversation, two.question.id)
    assert texts(one) == ["one", "1", "two", "2"]
    next_one = Send("three", "mock", uuid4(), one.conversation.id)
    assert contents(bob, next_one) == ["one", "1", "two", "2", "three"]


def test_the_first_question_can_be_edited_too(bob: Member) -> None:
    one = answered(bob, "one", "1")
    send = Send("uno", "mock", uuid4(), one.conversation.id, edits=one.question.id)
    assert contents(bob, send) == ["uno"]
    edited = exchanges.put(bob, send, uuid4())
    assert (edited.question.parent_id, edited.question.is_first) == (None, True)
    assert texts(edited)[0] == "uno"
    assert branch_turns(edited.conversation)[0].siblings == [one.question.id, send.message]


def test_a_question_is_answered_again(bob: Member) -> None:
    one = answered(bob, "one", "1")
    request = Again(uuid4(), one.answer.id, "mock")
    assert contents(bob, request) == ["one"]
    repeated = exchanges.put(bob, request, uuid4())
    answer(bob, repeated, "uno")
    assert texts(repeated) == ["one", "uno"]
    assert branch_turns(repeated.conversation)[1].siblings == [one.answer.id, request.message]
    found = exchanges.existing_exchange(bob, request)
    assert found
    assert (found.question, found.answer) == (one.question, repeated.answer)


def test_after_a_refusal_the_question_is_tried_with_less(bob: Member) -> None:
    one = answered(bob, "one", "1")
    two = ask(bob, "two", one.conversation)
    answer(bob, two, "", error_code="context_length_exceeded", prompt_tokens=0)
    earlier = history.inquiry(bob, Again(uuid4(), two.answer.id, "mock")).earlier
    assert (len(earlier.messages), earlier.too_long) == (2, 1)


def test_an_answer_goes_on_and_both_parts_are_one(bob: Member) -> None:
    one = answered(bob, "one", packed(Said("1, ", "Hm.")))
    more = again(bob, one, "2, ", continues=True)
    request = Again(uuid4(), more.answer.id, "mock", continues=True)
    assert contents(bob, request) == ["one", "1, 2, ", CONTINUE]
    answer(bob, exchanges.put(bob, request, uuid4()), "3")
    more.conversation.refresh_from_db()
    question, whole = branch_turns(more.conversation)
    assert (whole.id, whole.text, whole.before) == (request.message, "3", Part("1, 2, ", "Hm."))
    assert question.siblings == whole.siblings == []
    follow_up = Send("two", "mock", uuid4(), more.conversation.id)
    assert contents(bob, follow_up) == ["one", "1, 2, 3", "two"]


def test_a_failed_continuation_is_tried_from_the_text_before_it(bob: Member) -> None:
    one = answered(bob, "one", "1, ")
    failed = again(bob, one, continues=True)
    answer(bob, failed, "", error_code="engine_failed")
    retried = again(bob, failed, "2", continues=True)
    assert retried.answer.parent_id == one.answer.id
    assert [turn.before for turn in branch_turns(retried.conversation)] == [None, Part("1, ")]
    whole = again(bob, failed)
    assert whole.answer.parent_id == one.question.id


def test_where_nothing_was_written_nothing_goes_on(bob: Member) -> None:
    one = answered(bob, "one", "")
    with pytest.raises(ChatRefused, match="nothing_to_continue"):
        again(bob, one, continues=True)


def test_an_answer_has_so_many_parts_at_most(bob: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "MOST_PARTS", 2)
    one = answered(bob, "one", "1")
    more = again(bob, one, "2", continues=True)
    with pytest.raises(ChatRefused, match="nothing_to_continue"):
        again(bob, more, continues=True)


def test_one_answer_at_a_time_however_it_is_wanted(bob: Member) -> None:
    one = answered(bob, "one", "1")
    again(bob, one)
    for request in (
        Again(uuid4(), one.answer.id, "mock"),
        Again(uuid4(), one.answer.id, "mock", continues=True),
        Send("uno", "mock", uuid4(), one.conversation.id, edits=one.question.id),
    ):
        with pytest.raises(ChatRefused, match="busy"):
            exchanges.put(bob, request, uuid4())


def test_messages_of_others_are_not_there(bob: Member) -> None:
    one = answered(bob, "one", "1")
    other = answered(bob, "other", "2")
    alice = join(bob.tenant, "alice@acme.example")
    with pytest.raises(ChatRefused, match="not_found"):
        again(alice, one)
    for edits in (uuid4(), one.answer.id, other.question.id):
        with pytest.raises(ChatRefused, match="not_found"):
            history.inquiry(bob, Send("x", "mock", uuid4(), one.conversation.id, edits=edits))
    for message in (uuid4(), other.question.id):
        with pytest.raises(NotInConversation):
            branches.choose(one.conversation, message)
        with pytest.raises(NotInConversation):
            branches.fork(one.conversation, message)


# Summaries ---------------------------------------------------------------------------------------
def test_after_a_summary_the_older_messages_are_shown_but_not_sent(bob: Member) -> None:
    one = answered(bob, "one", "1")
    send = Send("Sum it up.", "mock", uuid4(), one.conversation.id, summary=True)
    assert contents(bob, send) == ["one", "1", "Sum it up."]
    summary = exchanges.put(bob, send, uuid4())
    follow_up = Send("two", "mock", uuid4(), one.conversation.id)
    answer(bob, summary, "", error_code="engine_failed")
    assert contents(bob, follow_up) == ["one", "1", "Sum it up.", "two"]
    answer(bob, again(bob, summary), "All is 1.")
    assert contents(bob, follow_up) == ["Sum it up.", "All is 1.", "two"]
    one.conversation.refresh_from_db()
    assert texts(one) == ["one", "1", "Sum it up.", "All is 1."]
    assert "based on this summary" in branch_turns(one.conversation)[-1].notice


# Forks, and all branches together ----------------------------------------------------------------
def test_a_fork_has_copies_and_goes_on_alone(bob: Member) -> None:
    one = answered(bob, "one", packed(Said("1", "Hm.")))
    failed = ask(bob, "two", one.conversation)
    answer(bob, failed, "", error_code="engine_failed")
    three = answered(bob, "three", "3", one)
    copy = branches.fork(one.conversation, three.answer.id)
    assert title_of(copy) == "one"
    assert [turn.text for turn in branch_turns(copy)] == ["one", "1", "two", "three", "3"]
    assert branch_turns(copy)[1].reasoning == "Hm."
    one.conversation.delete()
    later = Send("four", "mock", uuid4(), copy.id)
    assert contents(bob, later) == ["one", "1", "two", "three", "3", "four"]
    last = copy.branch()[-1]
    assert contents(bob, Again(uuid4(), last.id, "mock")) == ["one", "1", "two", "three"]
    assert said_in(exchanges.put(bob, later, uuid4()).question).text == "four"


def test_all_branches_are_deleted_and_exported_together(bob: Member) -> None:
    one = answered(bob, "one", "1")
    again(bob, one, "uno")
    rows = next(iter(portability._conversations(bob.tenant_id, bob.subject_id)))["messages"]
    assert [(row["text"], row["follows"]) for row in rows] == [
        ("one", None),
        ("1", one.question.id),
        ("uno", one.question.id),
    ]
    one.conversation.delete()
    assert not Message.objects.exists()
