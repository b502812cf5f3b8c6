"""Actions of a dialogue whose turn ends while they run: nothing is done twice."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone

from inference.actions import calling, definitions
from inference.actions.sending import Delivery, Outcome
from inference.dialogues import handing_over, receiving, running
from inference.dialogues.scoped import in_tenant
from inference.intake.context import Context
from inference.models import (
    ActionCall,
    CallState,
    Dialogue,
    DialogueTurn,
    TurnStep,
    WebhookAction,
)
from inference.models.assistants.action_call import CONFIRMED_FOR
from infrastructure.webhooks import signing
from tenants.models import Member, Tenant
from tenants.roles import Role
from tests.inference.api.conftest import in_database
from tests.inference.api.dialogues.conftest import Helpdesk
from tests.people import join

pytestmark = pytest.mark.django_db(transaction=True)
ASKING = "Where is my order AB-1234?"
DONE = Outcome(CallState.SUCCEEDED, "", 200, {"state": "sent"})


def add_action(tenant: Tenant, *, moves_money: bool) -> None:
    """Adds what the helpdesk's assistant calls."""
    action = WebhookAction(
        tenant=tenant,
        name="order_state",
        url="https://shop.example.com/",
        arguments={"type": "object", "required": ["order"]},
        answer=definitions.ANYTHING,
        moves_money=moves_money,
    )
    action.create(signing.new_secret(), by="test")


@pytest.fixture
async def member(desk: Helpdesk) -> Member:
    made: Member = await in_database(join)(desk.tenant, "alice@acme.example", Role.OWNER)
    return made


async def test_what_moved_money_while_a_human_took_over_moves_it_no_second_time(
    desk: Helpdesk, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_database(add_action)(desk.tenant, moves_money=True)
    dialogue = (await desk.begin())["id"]
    row = await in_database(Dialogue.objects.select_related("person").get)()
    sent = list[Delivery]()

    async def taken_over_meanwhile(delivery: Delivery) -> Outcome:
        sent.append(delivery)
        await in_tenant(desk.tenant.pk, handing_over.take_over, row, member)
        return DONE

    monkeypatch.setattr(calling, "send", taken_over_meanwhile)
    assert (await desk.answer_to(dialogue, ASKING))["answer"]["step"] == "confirm"
    await desk.send(dialogue, "yes")
    assert len(sent) == 1

    def give_back() -> None:
        handing_over.give_back(row, by=member.actor)

    await in_tenant(desk.tenant.pk, give_back)
    again = await desk.answer_to(dialogue, ASKING)
    assert again["answer"]["step"] == "already"
    await desk.send(dialogue, "yes")
    assert len(sent) == 1
    assert await in_database(ActionCall.objects.count)() == 1


async def test_a_message_that_is_sent_again_gets_the_outcome_of_its_call(
    desk: Helpdesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first turn failed after the call, for want of the database."""
    await in_database(add_action)(desk.tenant, moves_money=False)
    dialogue, sent = (await desk.begin())["id"], list[Delivery]()
    durably = running.TurnRun._durably

    async def counted(delivery: Delivery) -> Outcome:
        sent.append(delivery)
        return DONE

    async def away(self: Any, write: Any, *arguments: Any, **more: Any) -> None:
        if TurnStep.DECIDED in arguments:
            raise OperationalError
        await durably(self, write, *arguments, **more)

    monkeypatch.setattr(calling, "send", counted)
    name = str(uuid4())
    with monkeypatch.context() as patch:
        patch.setattr(running.TurnRun, "_durably", away)
        patch.setattr(receiving, "DEADLINE", timedelta(0))
        await desk.send(dialogue, ASKING, id=name)
    assert len(sent) == 1
    again = await desk.send(dialogue, ASKING, id=name)
    assert again.json()["answer"]["step"] == "done"
    assert len(sent) == 1


async def test_a_yes_before_a_long_outage_moves_no_money(
    desk: Helpdesk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn goes on when nobody knows any more whether the person still wants it."""
    await in_database(add_action)(desk.tenant, moves_money=True)
    dialogue, sent = (await desk.begin())["id"], list[Delivery]()

    async def counted(delivery: Delivery) -> Outcome:
        sent.append(delivery)
        return DONE

    monkeypatch.setattr(calling, "send", counted)
    assert (await desk.answer_to(dialogue, ASKING))["answer"]["step"] == "confirm"
    rows = Dialogue.objects.select_related("person", "tenant", "api_key")
    row = await in_database(rows.get)()
    received = await in_tenant(desk.tenant.pk, receiving.receive, row, "yes", uuid4(), by="test")
    turn, before = received.turn, timezone.now() - CONFIRMED_FOR
    assert turn
    assert turn.lease
    await in_database(DialogueTurn.objects.filter(pk=turn.pk).update)(created_at=before)
    await running.run(context, turn.tenant_id, turn.pk, turn.lease)
    call = await in_database(ActionCall.objects.get)(turn_id=turn.pk)
    assert (call.state, call.reason, sent) == (CallState.NOT_SENT, "not_confirmed", [])
    assert (await in_database(Dialogue.objects.get)()).status == "waiting"
