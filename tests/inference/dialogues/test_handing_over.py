"""One member has a dialogue at a time, and a member who leaves loses it to the queue."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from hypothesis.strategies import sampled_from

from audit.models import Event
from inference.dialogues import handing_over, overdue_calls
from inference.models import (
    ActionCall,
    CallState,
    Dialogue,
    DialogueHandOver,
    DialogueStatus,
    Role,
    TurnStep,
)
from tenants.models import Member, Tenant
from tenants.roles import Role as MemberRole
from tests.inference.dialogues.rows import a_dialogue, writes
from tests.people import join

S = DialogueStatus


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice@acme.example", MemberRole.OWNER)


@pytest.fixture
def dora(acme: Tenant) -> Member:
    return join(acme, "dora@acme.example", MemberRole.OWNER)


def acts(dialogue: Dialogue) -> list[str]:
    events = Event.objects.filter(detail__dialogue=dialogue.public_id).order_by("id")
    return [event.action for event in events]


def hand_over(dialogue: Dialogue, reason: str = "asked") -> None:
    with transaction.atomic():
        handing_over.hand_over(dialogue, reason, by="test")


def test_a_hand_over_waits_with_its_reason(acme: Tenant) -> None:
    dialogue = a_dialogue(acme, "I want a human")
    hand_over(dialogue)
    hand_over(dialogue, "again")
    row = DialogueHandOver.objects.get()
    assert (dialogue.status, row.reason, row.taken_by) == (S.WAITING, "asked", "")
    assert acts(dialogue) == ["dialogue:hand_over"]


def test_a_member_takes_it_answers_and_gives_it_back(acme: Tenant, alice: Member) -> None:
    dialogue = a_dialogue(acme, "I want a human")
    hand_over(dialogue)
    handing_over.take_over(dialogue, alice)
    handing_over.take_over(dialogue, alice)  # a second click
    handing_over.note(dialogue, "A loyal customer.", by=alice.actor)
    handing_over.reply(dialogue, "Hello, I am Alice.", by=alice.actor)
    handing_over.give_back(dialogue, by=alice.actor)
    messages = [(m.role, m.author, m.content.text) for m in dialogue.messages.order_by("number")]
    assert messages[1:] == [
        (Role.NOTE, alice.actor, "A loyal customer."),
        (Role.HUMAN, alice.actor, "Hello, I am Alice."),
    ]
    assert (dialogue.status, dialogue.taken_by) == (S.OPEN, "")
    row = DialogueHandOver.objects.get()
    assert (row.ending, row.taken_by) == ("given_back", alice.actor)
    verbs = ["hand_over", "take", "note", "reply", "give_back"]
    assert acts(dialogue) == [f"dialogue:{verb}" for verb in verbs]


def test_words_that_a_member_sends_again_count_once(acme: Tenant, alice: Member) -> None:
    dialogue = a_dialogue(acme, "I want a human")
    handing_over.take_over(dialogue, alice)
    for write in (handing_over.reply, handing_over.note):
        client_id = uuid4()
        first = write(dialogue, "Hello", client_id, by=alice.actor)
        assert write(dialogue, "Hello", client_id, by=alice.actor) == first
    handing_over.give_back(dialogue, by=alice.actor)
    roles = dialogue.messages.order_by("number").values_list("role", flat=True)
    assert list(roles) == [Role.PERSON, Role.HUMAN, Role.NOTE]


def test_a_member_takes_over_while_the_assistant_writes(acme: Tenant, alice: Member) -> None:
    dialogue = a_dialogue(acme, "Where is my order?")
    turn = writes(dialogue, "Your order")
    handing_over.take_over(dialogue, alice)
    turn.refresh_from_db()
    assert turn.answer
    turn.answer.refresh_from_db()
    assert (turn.step, turn.is_over, turn.answer.whole) == (TurnStep.SUPERSEDED, True, True)
    assert turn.answer.content.text == "Your order"
    assert (dialogue.status, DialogueHandOver.objects.get().reason) == (
        S.WITH_HUMAN,
        "taken_over",
    )


def test_nobody_else_may_do_what_its_member_does(acme: Tenant, alice: Member, dora: Member) -> None:
    dialogue = a_dialogue(acme, "Hello")
    hand_over(dialogue)
    handing_over.take_over(dialogue, alice)
    with pytest.raises(ValidationError, match="Another member"):
        handing_over.take_over(dialogue, dora)
    for do in (handing_over.give_back, handing_over.resolve):
        with pytest.raises(ValidationError, match="take it over first"):
            do(dialogue, by=dora.actor)
    with pytest.raises(ValidationError, match="take it over first"):
        handing_over.reply(dialogue, "Hello", by=dora.actor)
    handing_over.note(dialogue, "I can help with this.", by=dora.actor)
    handing_over.transfer(dialogue, dora, by=alice.actor)
    handing_over.reply(dialogue, "Hello", by=dora.actor)
    with pytest.raises(ValidationError, match="take it over first"):
        handing_over.reply(dialogue, "Hello", by=alice.actor)


def test_it_is_not_given_to_people_who_may_not_answer(
    acme: Tenant, globex: Tenant, alice: Member
) -> None:
    dialogue = a_dialogue(acme, "Hello")
    handing_over.take_over(dialogue, alice)
    stranger = join(globex, "charlie@globex.example", MemberRole.OWNER)
    for member in (stranger, join(acme, "bob@acme.example", MemberRole.MEMBER)):
        with pytest.raises(ValidationError, match="may not answer"):
            handing_over.transfer(dialogue, member, by=alice.actor)


def test_a_member_who_leaves_loses_it_to_the_queue(
    acme: Tenant, alice: Member, dora: Member
) -> None:
    dialogue = a_dialogue(acme, "Hello")
    hand_over(dialogue)
    handing_over.take_over(dialogue, alice)
    assert handing_over.return_abandoned() == 0
    ended = timezone.now() - timedelta(seconds=1)
    DialogueHandOver.objects.update(leased_until=ended)
    assert handing_over.renew(acme.pk, dora.actor) == 0
    assert handing_over.renew(acme.pk, alice.actor) == 1, "the open inbox keeps it"
    DialogueHandOver.objects.update(leased_until=ended)
    assert handing_over.return_abandoned() == 1
    dialogue.refresh_from_db()
    row = DialogueHandOver.objects.get()
    assert (dialogue.status, dialogue.taken_by, row.returns) == (S.WAITING, "", 1)
    handing_over.take_over(dialogue, dora)
    assert acts(dialogue)[-2:] == ["dialogue:return", "dialogue:take"]


def test_a_slow_clock_of_a_host_takes_no_dialogue_from_its_member(
    acme: Tenant, alice: Member, dora: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() - timedelta(minutes=6))
    dialogue = a_dialogue(acme, "Hello")
    handing_over.take_over(dialogue, alice)
    assert handing_over.return_abandoned() == 0
    handing_over.transfer(dialogue, dora, by=alice.actor)
    assert handing_over.return_abandoned() == 0
    DialogueHandOver.objects.update(leased_until=now() + timedelta(seconds=30))
    assert handing_over.renew(acme.pk, dora.actor) == 1
    until = DialogueHandOver.objects.get().leased_until
    assert until
    assert until > now() + timedelta(seconds=60)


def test_a_closed_dialogue_stays_closed(acme: Tenant, alice: Member) -> None:
    dialogue = a_dialogue(acme, "Hello", status=S.CLOSED)
    hand_over(dialogue)
    with pytest.raises(ValidationError, match="closed"):
        handing_over.take_over(dialogue, alice)
    assert not DialogueHandOver.objects.exists()


@pytest.mark.parametrize("text", ["", "   ", "x" * 4_001, "a\0b"])
def test_a_reply_says_something(acme: Tenant, alice: Member, text: str) -> None:
    dialogue = a_dialogue(acme, "Hello")
    handing_over.take_over(dialogue, alice)
    with pytest.raises(ValidationError):
        handing_over.reply(dialogue, text, by=alice.actor)


def test_a_call_whose_process_died_is_unknown_and_a_human_goes_on(acme: Tenant) -> None:
    dialogue = a_dialogue(acme, "Refund my order")
    call = ActionCall(
        tenant=acme,
        action_name="refund",
        revision=1,
        moves_money=True,
        dialogue_id=dialogue.pk,
        subject_id=dialogue.subject_id,
        created_by="test",
    )
    call.encrypt({"order": "A-1"})
    call.send(None, 5, by="test")
    assert overdue_calls.end_overdue() == 0
    ActionCall.objects.update(deadline=timezone.now())
    assert overdue_calls.end_overdue() == 1
    call.refresh_from_db()
    dialogue.refresh_from_db()
    assert (call.state, call.reason) == (CallState.UNKNOWN, "no_outcome")
    assert (dialogue.status, DialogueHandOver.objects.get().reason) == (
        S.WAITING,
        "action_unknown",
    )


@pytest.mark.django_db(transaction=True)
def test_of_many_members_at_once_one_gets_it(acme: Tenant) -> None:
    dialogue = a_dialogue(acme, "Hello")
    hand_over(dialogue)
    members = [join(acme, f"m{n}@acme.example", MemberRole.OWNER) for n in range(6)]

    def take(member: Member) -> bool:
        try:
            handing_over.take_over(Dialogue.objects.get(pk=dialogue.pk), member)
        except ValidationError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, members)) == 1
    dialogue.refresh_from_db()
    assert dialogue.taken_by == DialogueHandOver.objects.get().taken_by != ""


class Hands(RuleBasedStateMachine):
    """Whatever members do in whichever order, the dialogue and its hand-over agree."""

    members: list[Member]
    dialogue: Dialogue

    @rule()
    def asks(self) -> None:
        hand_over(self.dialogue)

    @rule(n=sampled_from([0, 1]))
    def takes(self, n: int) -> None:
        self._try(handing_over.take_over, self.dialogue, self.members[n])

    @rule(n=sampled_from([0, 1]), verb=sampled_from(["give_back", "resolve"]))
    def ends(self, n: int, verb: str) -> None:
        self._try(getattr(handing_over, verb), self.dialogue, by=self.members[n].actor)

    @rule(n=sampled_from([0, 1]))
    def transfers(self, n: int) -> None:
        by = self.members[n].actor
        self._try(handing_over.transfer, self.dialogue, self.members[1 - n], by=by)

    @rule(n=sampled_from([0, 1]))
    def replies(self, n: int) -> None:
        owner = Dialogue.objects.get(pk=self.dialogue.pk).taken_by
        done = self._try(handing_over.reply, self.dialogue, "Hello", by=self.members[n].actor)
        assert done == (owner == self.members[n].actor)

    @rule()
    def leaves(self) -> None:
        DialogueHandOver.objects.open().exclude(taken_by="").update(leased_until=timezone.now())
        handing_over.return_abandoned()

    def _try(self, do: object, *args: object, **named: object) -> bool:
        try:
            do(*args, **named)  # type: ignore[operator]
        except ValidationError:
            return False
        return True

    @invariant()
    def agrees(self) -> None:
        dialogue = Dialogue.objects.get(pk=self.dialogue.pk)
        rows = list(DialogueHandOver.objects.open())
        assert len(rows) == dialogue.human_has_it
        if rows:
            assert rows[0].taken_by == dialogue.taken_by
            assert bool(dialogue.taken_by) == (dialogue.status == S.WITH_HUMAN)
            assert bool(rows[0].leased_until) == bool(dialogue.taken_by)


@pytest.fixture
def hands(acme: Tenant, alice: Member, dora: Member) -> type[Hands]:
    class InAcme(Hands):
        def __init__(self) -> None:
            super().__init__()
            self.members, self.dialogue = [alice, dora], a_dialogue(acme, "Hello")

        def teardown(self) -> None:
            self.dialogue.delete()

    return InAcme


def test_states_agree_in_every_order(hands: type[Hands]) -> None:
    some = settings(
        max_examples=25,
        stateful_step_count=12,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    run_state_machine_as_test(hands, settings=some)
