"""A process may die after any step of a turn: another one goes on, and does nothing twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils.timezone import now

from inference.actions import calling
from inference.actions.result import ActionResult
from inference.dialogues import receiving, resuming, running, stepping
from inference.dialogues.scoped import in_tenant
from inference.dialogues.wording_request import Wording
from inference.intake.context import Context
from inference.models import CallState, Completion, Dialogue, DialogueTurn, TurnStep
from tests.inference.api.conftest import in_database
from tests.inference.api.dialogues.conftest import Helpdesk
from tests.inference.api.dialogues.test_streams import worded
from tests.inference.engine_server import EngineServer

__all__ = ["worded"]
pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """Stands for the end of the process: nothing behind it runs."""


async def begun_turn(desk: Helpdesk, text: str) -> DialogueTurn:
    """Returns the turn of a message on record, which no process runs yet."""
    await desk.begin()
    rows = Dialogue.objects.select_related("person", "tenant", "api_key")
    dialogue = await in_database(rows.get)()
    received = await in_tenant(
        desk.tenant.pk, receiving.receive, dialogue, text, uuid4(), by="test"
    )
    assert received.turn
    return received.turn


async def killed(context: Context, turn: DialogueTurn) -> None:
    """Run the turn in a process that dies; its lease ends."""
    assert turn.lease
    with pytest.raises(Killed):
        await running.run(context, turn.tenant_id, turn.pk, turn.lease)
    await lapsed()


async def lapsed() -> None:
    """Let the lease end."""
    await in_database(DialogueTurn.objects.update)(leased_until=now() - timedelta(seconds=1))


async def resumed(context: Context) -> DialogueTurn:
    """Go on as the sweeper does. Returns the turn, which is over."""
    while not (taken := await in_database(resuming._take)()):
        await lapsed()  # once more: a renewal was under way in a thread as the process died
    await running.run(context, *taken[0])
    turn = await in_database(DialogueTurn.objects.select_related("answer__dialogue__person").get)()
    assert turn.is_over
    return turn


@pytest.mark.parametrize("writes", range(5))
async def test_a_kill_at_any_step_leaves_one_answer_of_one_request(
    worded: Helpdesk,
    context: Context,
    engine: EngineServer,
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
) -> None:
    """It dies at the first durable write, then at the second, and so on."""
    engine.words = ["It costs ", "5 euros. ", "Ask for ", "more. ", "Thank you."]
    turn = await begun_turn(worded, "What does it cost?")
    remaining = [writes]
    durably = running.TurnRun._durably

    async def dying(self: Any, *arguments: Any, **more: Any) -> None:
        if remaining[0] == 0:
            raise Killed
        remaining[0] -= 1
        await durably(self, *arguments, **more)

    monkeypatch.setattr(running.TurnRun, "_durably", dying)
    await killed(context, turn)
    monkeypatch.setattr(running.TurnRun, "_durably", durably)
    over = await resumed(context)
    assert over.step == TurnStep.ANSWERED
    assert over.answer
    content = await in_database(lambda: over.answer.content)()  # type: ignore[union-attr]
    assert content.text == "It costs 5 euros. Ask for more. Thank you."
    chats = Completion.objects.filter(route="dialogue")
    assert await in_database(chats.count)() == 1
    assert [each["role"] for each in await worded.messages(f"dlg_{turn.dialogue_id.hex}")] == [
        "assistant",
        "person",
        "assistant",
    ]


async def test_an_action_is_asked_once(
    desk: Helpdesk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kill comes after the action, before its outcome is on record."""
    turn = await begun_turn(desk, "Where is my order AB-1234?")
    calls = list[tuple[Any, ...]]()

    async def call(*arguments: Any) -> ActionResult:
        calls.append(arguments[1:])
        if len(calls) == 1:
            raise Killed
        return ActionResult(CallState.UNKNOWN, "order_state")  # as its row says after a kill

    monkeypatch.setattr(calling, "call", call)
    await killed(context, turn)
    assert (await in_database(DialogueTurn.objects.get)()).step == TurnStep.ACTING
    over = await resumed(context)
    assert calls[0] == calls[1] == (turn.pk, "order_state", {"order": "AB-1234"})
    assert over.answer
    assert over.answer.step == "handover"
    assert (await in_database(Dialogue.objects.get)()).status == "waiting"


async def test_who_has_lost_a_turn_writes_nothing(
    desk: Helpdesk, context: Context, engine: EngineServer
) -> None:
    turn = await begun_turn(desk, "When are you open?")
    engine.goes_on.clear()
    assert turn.lease
    first = asyncio.create_task(running.run(context, turn.tenant_id, turn.pk, turn.lease))
    await asyncio.sleep(0.5)
    await in_database(DialogueTurn.objects.update)(lease=uuid4(), leased_until=now())
    engine.goes_on.set()
    await asyncio.wait_for(first, 30)
    assert not (await in_database(DialogueTurn.objects.get)()).is_over
    over = await resumed(context)
    assert over.step == TurnStep.ANSWERED


async def test_a_turn_whose_key_is_gone_fails(desk: Helpdesk, context: Context) -> None:
    turn = await begun_turn(desk, "When are you open?")
    await in_database(desk.key.delete)()
    assert turn.lease
    await running.run(context, turn.tenant_id, turn.pk, turn.lease)
    over = await in_database(DialogueTurn.objects.get)()
    assert (over.step, over.error_code) == (TurnStep.FAILED, "access_revoked")


async def test_an_answer_takes_no_longer_than_the_turn_may(
    worded: Helpdesk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def texts(_self: Wording, *_what: Any) -> AsyncIterator[str]:
        yield "Nothing whole"
        await asyncio.sleep(600)

    monkeypatch.setattr(Wording, "texts", texts)
    monkeypatch.setattr(receiving, "DEADLINE", timedelta(seconds=5))
    turn = await begun_turn(worded, "What does it cost?")
    assert turn.lease
    await asyncio.wait_for(running.run(context, turn.tenant_id, turn.pk, turn.lease), 60)
    over = await in_database(DialogueTurn.objects.select_related("answer").get)()
    assert over.answer
    assert over.answer.worded_by == "plain"


async def test_an_embedding_that_hangs_lets_people_take_over(
    desk: Helpdesk, context: Context, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepping, "EMBED_S", 0.5)
    engine.goes_on.clear()
    turn = await begun_turn(desk, "When are you open?")
    assert turn.lease
    await asyncio.wait_for(running.run(context, turn.tenant_id, turn.pk, turn.lease), 60)
    engine.goes_on.set()
    assert (await in_database(Dialogue.objects.get)()).status == "waiting"
