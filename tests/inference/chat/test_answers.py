"""What became of a question and its answer, from the record alone."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from audit.keys.keyring import keyring
from audit.models import DataKey
from inference.chat import answers, exchanges, history
from inference.chat.answers import ON_ITS_WAY, turn
from inference.chat.conversations import message_aad
from inference.chat.exchanges import Exchange
from inference.chat.problems import ChatRefused
from inference.chat.protocol import Send, Turn
from inference.engines.base import Engine, EngineConfig
from inference.models import Completion, Conversation, Message, State, Usage
from inference.reasoning import Said, packed
from tenants.models import Member, Tenant, User
from tenants.roles import Role
from tests.people import join

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob() -> Member:
    return join(Tenant.open("acme", by="test"), "bob@acme.example")


def ask(member: Member, text: str = "hi", conversation: Conversation | None = None) -> Exchange:
    send = Send(text, "mock", uuid4(), conversation.id if conversation else None)
    return exchanges.put(member, send, uuid4())


def answer(member: Member, asked: Exchange, text: str | bytes = "ho", **usage: object) -> None:
    """As a settlement leaves it."""
    stored = text.encode() if isinstance(text, str) else text
    cipher = keyring.of_subject_now(member.tenant_id, member.subject_id)
    asked.answer.ciphertext = cipher.encrypt(stored, message_aad(asked.answer))
    asked.answer.finish_reason = "stop"
    asked.answer.save()
    completion = record(member, asked, State.DONE)
    fields = {"prompt_tokens": 3, "completion_tokens": 11, "ttft_ms": 500, "duration_ms": 1500}
    Usage.objects.create(
        completion=completion,
        tenant=member.tenant,
        model="mock",
        finish_reason="stop",
        created_at=timezone.now(),
        **{**fields, **usage},
    )


def record(member: Member, asked: Exchange, state: State) -> Completion:
    return Completion.objects.create(
        id=asked.answer.completion_id,
        tenant=member.tenant,
        member=member,
        model="mock",
        route="chat",
        state=state,
        created_at=timezone.now(),
    )


def fresh(message: Message) -> Turn:
    return turn(Message.objects.select_related("conversation").get(pk=message.pk))


def test_a_question_is_there_at_once_and_its_answer_is_awaited(bob: Member) -> None:
    asked = ask(bob, "What is a forebay?")
    assert fresh(asked.question).text == "What is a forebay?"
    assert fresh(asked.answer).streaming


def test_an_answer_with_its_figures(bob: Member) -> None:
    asked = ask(bob)
    answer(bob, asked)
    found = fresh(asked.answer)
    assert (found.text, found.finish_reason, found.streaming) == ("ho", "stop", False)
    assert found.figures
    assert (found.figures.tokens, found.figures.tokens_per_second) == (11, 11.0)
    assert (found.figures.pool, found.figures.hosted) == ("", False)


def test_an_answer_from_somebody_elses_machine_says_so(bob: Member) -> None:
    asked = ask(bob)
    answer(bob, asked)
    Usage.objects.filter(pk=asked.answer.completion_id).update(pool="there", hosted=True)
    figures = fresh(asked.answer).figures
    assert figures
    assert (figures.pool, figures.hosted) == ("there", True)


def test_an_answer_that_failed(bob: Member) -> None:
    asked = ask(bob)
    answer(bob, asked, "half", error_code="engine_failed")
    found = fresh(asked.answer)
    assert found.error
    assert (found.text, found.finish_reason, found.error.code) == ("half", "error", "engine_failed")


def test_an_answer_that_is_being_written_for_long(bob: Member) -> None:
    asked = ask(bob)
    record(bob, asked, State.OPEN)
    aged(asked)
    assert fresh(asked.answer).streaming


def test_a_request_that_never_got_on_record(bob: Member) -> None:
    asked = ask(bob)
    aged(asked)
    found = fresh(asked.answer)
    assert found.error
    assert (found.streaming, found.error.code) == (False, "lost")


def aged(asked: Exchange) -> None:
    long_ago = timezone.now() - 2 * ON_ITS_WAY
    Message.objects.filter(pk=asked.answer.pk).update(created_at=long_ago + timedelta(seconds=1))


def test_after_an_erasure_nothing_can_be_read(bob: Member) -> None:
    asked = ask(bob)
    answer(bob, asked)
    DataKey.objects.filter(subject_id=bob.subject_id).delete()
    keyring.forget(asked.answer.data_key_id)
    for message in (asked.question, asked.answer):
        found = fresh(message)
        assert found.error
        assert (found.text, found.error.code) == ("", "erased")


def test_the_prompt_is_what_was_said(bob: Member) -> None:
    asked = ask(bob, "one")
    answer(bob, asked, "two")
    send = Send("three", "mock", uuid4(), asked.conversation.id)
    assert contents(bob, send) == ["one", "two"]


def contents(member: Member, send: Send) -> list[str]:
    return [message["content"] for message in history.inquiry(member, send).earlier.messages]


def test_what_the_model_could_not_read_is_not_sent_again(bob: Member) -> None:
    first = ask(bob, "one")
    answer(bob, first, "two")
    too_long = ask(bob, "much", first.conversation)
    answer(bob, too_long, "", error_code="context_length_exceeded", prompt_tokens=0)
    send = Send("three", "mock", uuid4(), first.conversation.id)
    found = history.inquiry(bob, send).earlier
    assert [message["content"] for message in found.messages] == ["one", "two"]
    assert (found.dropped, found.too_long) == (1, 1)
    answer(bob, ask(bob, "three", first.conversation), "four")
    assert history.inquiry(bob, send).earlier.too_long == 0


def test_a_message_that_is_too_long_is_told_by_how_much(
    bob: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(EngineConfig("mock", "openai", "http://x", "mock", context_length=4096))
    monkeypatch.setattr(answers, "served", lambda: {"mock": engine})
    long = ask(bob, "word " * 4000)
    answer(bob, long, "", error_code="context_length_exceeded", prompt_tokens=0)
    failed = fresh(long.answer)
    assert failed.error
    assert failed.error.text == (
        "Your message has about 5,000 tokens. The model's context holds 4,096, with the answer. "
        "Shorten it by about 1,900 tokens (39 %), send it in parts, or choose a model with a "
        "larger context."
    )
    short = ask(bob, "word", long.conversation)
    answer(bob, short, "", error_code="context_length_exceeded", prompt_tokens=0)
    assert "older messages" in fresh(short.answer).error.text  # type: ignore[union-attr]


def test_reasoning_has_its_share_of_tokens_and_time(bob: Member) -> None:
    asked = ask(bob)
    answer(bob, asked, packed(Said("a" * 40, "b" * 120)), completion_tokens=40)
    figures = fresh(asked.answer).figures
    assert figures
    assert (figures.reasoning_tokens, figures.reasoning_ms) == (30, 750)


def test_the_engines_own_count_is_learned(bob: Member) -> None:
    first = ask(bob, "x" * 376)
    answer(bob, first, "two", prompt_tokens=200)
    send = Send("three", "mock", uuid4(), first.conversation.id)
    assert history.inquiry(bob, send).earlier.scale == 2.0
    other = Send("three", "another", uuid4(), first.conversation.id)
    assert history.inquiry(bob, other).earlier.scale == 1.0
    left = exchanges.put(bob, Send("y" * 376, "mock", uuid4(), first.conversation.id), uuid4(), 2)
    answer(bob, left, "four", prompt_tokens=300)  # for its question alone
    assert history.inquiry(bob, send).earlier.scale == 3.0


def test_messages_beyond_those_looked_at_count_as_left_out(
    bob: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_HISTORY", 2)
    first = ask(bob, "one")
    answer(bob, first, "two")
    answer(bob, ask(bob, "three", first.conversation), "four")
    found = history.inquiry(bob, Send("five", "mock", uuid4(), first.conversation.id)).earlier
    assert ([m["content"] for m in found.messages], found.dropped) == (["three", "four"], 2)


@pytest.mark.parametrize(
    ("count", "notice"),
    [
        (0, ""),
        (1, "The oldest message was left out: it does not fit into the model's context."),
        (4, "The oldest 4 messages were left out: they do not fit into the model's context."),
    ],
)
def test_what_was_left_out_is_told(bob: Member, count: int, notice: str) -> None:
    asked = exchanges.put(bob, Send("hi", "mock", uuid4()), uuid4(), count)
    assert fresh(asked.answer).notice == notice
    answer(bob, asked)
    assert fresh(asked.answer).notice == notice


@pytest.mark.parametrize("stored", [packed(Said("two", "Hm.")), b"<think>\nHm.\n</think>\n\ntwo"])
def test_reasoning_is_shown_but_not_sent_back(bob: Member, stored: bytes) -> None:
    asked = ask(bob, "<think>one")
    answer(bob, asked, stored)
    found = fresh(asked.answer)
    assert (found.text, found.reasoning) == ("two", "Hm.")
    assert fresh(asked.question).text == "<think>one"
    send = Send("three", "mock", uuid4(), asked.conversation.id)
    assert contents(bob, send) == ["<think>one", "two"]


def test_nobody_asks_while_an_answer_is_being_written(bob: Member) -> None:
    asked = ask(bob)
    with pytest.raises(ChatRefused, match="busy"):
        ask(bob, conversation=asked.conversation)
    answer(bob, asked)
    ask(bob, conversation=asked.conversation)
    assert Conversation.objects.count() == 1


def test_a_repeated_message_is_recognised(bob: Member) -> None:
    asked = ask(bob)
    again = exchanges.existing_exchange(bob, Send("hi", "mock", asked.question.id))
    assert again
    assert (again.answer.id, again.conversation.id) == (asked.answer.id, asked.conversation.id)
    assert exchanges.existing_exchange(bob, Send("hi", "mock", uuid4())) is None


def test_an_id_that_is_somebodys_already(bob: Member) -> None:
    asked = ask(bob)
    user = User.objects.create_user("alice@acme.example")
    alice = bob.tenant.add_member(user, Role.OWNER, by="test")
    assert exchanges.existing_exchange(alice, Send("hi", "mock", asked.question.id)) is None
    with pytest.raises(ChatRefused, match="invalid_message"):
        exchanges.put(alice, Send("mine", "mock", asked.question.id), uuid4())
    assert Conversation.objects.count() == 1
