"""Messages that are sent again, and turns that nobody can end."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from inference.assistants import state as states
from inference.assistants.state import State
from inference.dialogues import handing_over, receiving, recording, resuming
from inference.errors import Conflict
from inference.models import Dialogue, DialogueTurn, TurnStep
from tenants.models import Tenant
from tenants.roles import Role as MemberRole
from tests.inference.dialogues.rows import a_dialogue
from tests.people import join

pytestmark = pytest.mark.django_db


def open_turn(dialogue: Dialogue, text: str = "Hello?") -> DialogueTurn:
    received = receiving.receive(dialogue, text, uuid4(), by="test")
    assert received.turn
    return received.turn


def test_a_failed_message_of_a_closed_dialogue_is_not_tried_again(acme: Tenant) -> None:
    dialogue = a_dialogue(acme)
    turn = open_turn(dialogue)
    recording.fail(turn, "insufficient_quota")
    again = receiving.receive(dialogue, "Hello?", turn.question.client_id, by="test")
    assert again.turn
    assert again.turn != turn
    recording.fail(again.turn, "insufficient_quota")
    receiving.close(dialogue, satisfaction=None, was_resolved=None, by="test")
    with pytest.raises(Conflict, match="closed"):
        receiving.receive(dialogue, "Hello?", turn.question.client_id, by="test")


def test_a_note_of_a_member_does_not_keep_a_failed_message_from_being_sent_again(
    acme: Tenant,
) -> None:
    dialogue = a_dialogue(acme)
    turn = open_turn(dialogue)
    recording.fail(turn, "insufficient_quota")
    handing_over.note(dialogue, "Their quota is full: I raise it.", by="member:1")
    again = receiving.receive(dialogue, "Hello?", turn.question.client_id, by="test")
    assert again.turn
    assert (again.turn.question, again.lease is None) == (turn.question, False)
    recording.fail(again.turn, "insufficient_quota")
    open_turn(dialogue, "Is anybody there?")
    last = receiving.receive(dialogue, "Hello?", turn.question.client_id, by="test")
    assert (last.turn, last.lease) == (again.turn, None)


def test_the_assistant_answers_again_after_a_member_has_resolved_it(acme: Tenant) -> None:
    dialogue = a_dialogue(acme)
    dialogue.encrypt_state(states.packed(State(over="asked")))
    dialogue.save()
    alice = join(acme, "alice@acme.example", MemberRole.OWNER)
    handing_over.take_over(dialogue, alice)
    handing_over.resolve(dialogue, by=alice.actor)
    open_turn(dialogue)
    assert not states.unpacked(dialogue.state).over


def test_a_turn_that_ends_its_processes_is_given_up(acme: Tenant) -> None:
    turns = [open_turn(a_dialogue(acme, person=name)) for name in ("one", "two")]
    over = timezone.now() - timedelta(seconds=1)
    DialogueTurn.objects.update(leased_until=over, attempts=resuming.MOST_ATTEMPTS - 1)
    DialogueTurn.objects.filter(pk=turns[0].pk).update(attempts=resuming.MOST_ATTEMPTS)
    resuming._give_up()
    for turn in turns:
        turn.refresh_from_db()
    assert (turns[0].step, turns[0].error_code) == (TurnStep.FAILED, "internal_error")
    assert not turns[1].is_over
