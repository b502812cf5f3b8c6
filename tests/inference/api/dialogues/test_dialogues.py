"""Dialogues over REST: what an assistant answers, what counts once, and what is refused."""

import asyncio
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from django.utils.timezone import now

from audit.actions import Action
from audit.models import DataKey, Event, Payload
from inference.dialogues.measures.cohort import Cohort
from inference.dialogues.measures.report import ServiceReport
from inference.dialogues.measures.span import Span
from inference.models import (
    Dialogue,
    DialogueMessage,
    DialogueTurn,
    Role,
    TurnStep,
)
from inference.models.assistants.dialogue import Content
from tenants.models import Person, Tenant
from tests.inference.api.conftest import client_of, in_database
from tests.inference.api.dialogues.conftest import Helpdesk
from tests.inference.engine_server import EngineServer

pytestmark = pytest.mark.django_db(transaction=True)


async def test_an_assistant_greets_and_answers_by_its_rules(desk: Helpdesk) -> None:
    dialogue = await desk.begin()
    assert [each["text"] for each in dialogue["greeting"]] == ["Hello!"]
    turn = await desk.answer_to(dialogue["id"], "When are you open?")
    assert turn["answer"]["text"] == "9 to 5."
    assert turn["answer"]["intent"] == "opening_hours"
    assert turn["answer"]["worded_by"] == "plain"
    assert [each["role"] for each in await desk.messages(dialogue["id"])] == [
        "assistant",
        "person",
        "assistant",
    ]
    described = await desk.client.get(f"/v1/dialogues/{dialogue['id']}")
    assert described.json()["status"] == "open"
    assert described.json()["messages"] == 3


async def test_it_asks_for_what_an_action_needs(desk: Helpdesk) -> None:
    dialogue = await desk.begin()
    turn = await desk.answer_to(dialogue["id"], "Where is my order?")
    assert (turn["answer"]["step"], turn["answer"]["text"]) == ("ask", "Which order?")


async def test_chinese_is_answered_in_chinese(desk: Helpdesk) -> None:
    dialogue = await desk.begin(language="zh")
    assert dialogue["greeting"][0]["text"] == "您好！"
    turn = await desk.answer_to(dialogue["id"], "open 吗？")
    assert turn["dialogue"]["language"] == "zh"


async def test_a_message_counts_once(desk: Helpdesk) -> None:
    dialogue, client_id = (await desk.begin())["id"], str(uuid4())
    answers = [
        (await desk.send(dialogue, "When are you open?", id=client_id)).json() for _ in range(2)
    ]
    assert answers[0]["answer"] == answers[1]["answer"]
    assert len(await desk.messages(dialogue)) == 3
    other = await desk.send(dialogue, "Something else", id=client_id)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


async def test_a_dialogue_goes_on_with_the_key_in_place_of_its_own(desk: Helpdesk) -> None:
    dialogue = (await desk.begin())["id"]
    await desk.rotate()
    turn = await desk.answer_to(dialogue, "When are you open?")
    assert turn["answer"]["text"] == "9 to 5."


async def test_a_complaint_goes_to_people_who_answer(desk: Helpdesk) -> None:
    dialogue = (await desk.begin())["id"]
    turn = await desk.answer_to(dialogue, "I complain!")
    assert turn["dialogue"]["status"] == "waiting"
    assert turn["answer"]["step"] == "handover"
    silent = await desk.answer_to(dialogue, "Hello?")
    assert silent["answer"] is None
    row = await in_database(Dialogue.objects.select_related("person").get)()
    await in_database(row.add)(Role.HUMAN, Content(["How can I help?"]), author="member:1")
    await in_database(row.add)(Role.NOTE, Content(["difficult"]), author="member:1")
    shown = await desk.messages(dialogue)
    assert (shown[-1]["role"], shown[-1]["text"]) == ("human", "How can I help?")


async def test_when_nothing_can_be_understood_people_take_over(
    desk: Helpdesk, engine: EngineServer
) -> None:
    dialogue = (await desk.begin())["id"]
    engine.status = 500
    turn = await desk.answer_to(dialogue, "When are you open?")
    assert turn["dialogue"]["status"] == "waiting"
    assert turn["answer"]["text"]


async def test_one_message_at_a_time(desk: Helpdesk, engine: EngineServer) -> None:
    dialogue = (await desk.begin())["id"]
    engine.goes_on.clear()
    first = asyncio.create_task(desk.send(dialogue, "When are you open?"))
    while not await in_database(DialogueTurn.objects.exists)():
        await asyncio.sleep(0.02)
    second = await desk.send(dialogue, "And where?")
    assert (second.status_code, second.json()["error"]["code"]) == (409, "dialogue_busy")
    assert second.headers["retry-after"] == "1"
    engine.goes_on.set()
    assert (await first).json()["answer"]["text"] == "9 to 5."


async def test_it_is_closed_with_an_opinion(desk: Helpdesk) -> None:
    dialogue = (await desk.begin())["id"]
    path = f"/v1/dialogues/{dialogue}/close"
    closed = await desk.client.post(path, json={"satisfaction": 5, "resolved": True})
    assert (closed.json()["status"], closed.json()["satisfaction"]) == ("closed", 5)
    refused = await desk.send(dialogue, "One more thing")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "dialogue_closed")
    wrong = await desk.client.post(path, json={"satisfaction": 6})
    assert wrong.json()["error"]["param"] == "satisfaction"


async def test_a_message_after_a_goodbye_opens_it_again(desk: Helpdesk) -> None:
    dialogue = (await desk.begin())["id"]
    goodbye = await desk.answer_to(dialogue, "Goodbye")
    assert goodbye["dialogue"]["status"] == "resolved"
    turn = await desk.answer_to(dialogue, "When are you open?")
    assert (turn["answer"]["text"], turn["dialogue"]["status"]) == ("9 to 5.", "open")


async def test_texts_and_prompts_are_under_the_persons_key(desk: Helpdesk) -> None:
    dialogue = (await desk.begin(person="customer 7"))["id"]
    await desk.answer_to(dialogue, "When are you open?")

    def keys() -> tuple[set[Any], set[Any]]:
        person = Person.objects.get()
        own = DataKey.objects.filter(subject_id=person.pk).values_list("pk", flat=True)
        used = {
            *DialogueMessage.objects.values_list("data_key_id", flat=True),
            *Payload.objects.values_list("data_key_id", flat=True),
            *Dialogue.objects.values_list("data_key_id", flat=True),
        }
        return set(own), used

    own, used = await in_database(keys)()
    assert used == own
    assert not await in_database(Event.objects.filter(detail__icontains="customer 7").exists)()


async def test_each_step_is_on_the_trail(desk: Helpdesk) -> None:
    dialogue = (await desk.begin())["id"]
    await desk.answer_to(dialogue, "I complain!")

    def actions() -> list[str]:
        events = Event.objects.filter(action__startswith="dialogue:").order_by("id")
        return list(events.values_list("action", flat=True))

    assert await in_database(actions)() == [
        Action.DIALOGUE_CREATE,
        Action.DIALOGUE_MESSAGE,
        Action.DIALOGUE_HAND_OVER,
        Action.DIALOGUE_ANSWER,
    ]


@pytest.mark.parametrize(
    ("body", "status", "names"),
    [
        ({"person": "x"}, 400, "assistant"),
        ({"assistant": "a\x00", "person": "x"}, 400, "assistant"),
        ({"assistant": "shop"}, 400, "person"),
        ({"assistant": "shop", "person": ""}, 400, "person"),
        ({"assistant": "shop", "person": "a\x00b"}, 400, "person"),
        ({"assistant": "shop", "person": "x", "language": "fr"}, 400, "language"),
        ({"assistant": "shop", "person": "x", "user": "y"}, 400, "user"),
        ({"assistant": "none", "person": "x"}, 404, "assistant"),
    ],
)
async def test_a_wrong_beginning_is_told_what_to_do(
    desk: Helpdesk, body: dict[str, str], status: int, names: str
) -> None:
    answer = await desk.client.post("/v1/dialogues", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, names)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": "x" * 4_001}, "text"),
        ({"text": "a\0"}, "text"),
        ({"text": "hi", "id": "1"}, "id"),
        ({"text": "hi", "stream": "yes"}, "stream"),
        ({"text": "hi", "role": "assistant"}, "role"),
    ],
)
async def test_a_wrong_message_is_told_what_to_do(
    desk: Helpdesk, body: dict[str, Any], names: str
) -> None:
    dialogue = (await desk.begin())["id"]
    answer = await desk.client.post(f"/v1/dialogues/{dialogue}/messages", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, names)


@pytest.mark.parametrize(
    "query", ["after=x", "limit=0", "limit=201", "limit=000100" + "0" * 40, "after=-1"]
)
async def test_a_wrong_page_is_refused(desk: Helpdesk, query: str) -> None:
    dialogue = (await desk.begin())["id"]
    answer = await desk.client.get(f"/v1/dialogues/{dialogue}/messages?{query}")
    assert answer.status_code == 400


async def test_nobody_else_finds_it(desk: Helpdesk, globex: Tenant) -> None:
    dialogue = (await desk.begin())["id"]
    for tenant in (globex, desk.tenant):  # another key of the own tenant is another program
        async with await client_of(tenant) as other:
            for method, path in (
                ("GET", ""),
                ("GET", "/messages"),
                ("POST", "/messages"),
                ("POST", "/close"),
            ):
                body = {"text": "hi"} if path == "/messages" else {}
                content: dict[str, Any] = {"json": body} if method == "POST" else {}
                answer = await other.request(method, f"/v1/dialogues/{dialogue}{path}", **content)
                assert answer.status_code == 404, (method, path)


async def test_a_failed_turn_is_tried_again_with_the_same_id(
    desk: Helpdesk, engine: EngineServer
) -> None:
    dialogue, client_id = (await desk.begin())["id"], str(uuid4())
    engine.goes_on.clear()
    first = asyncio.create_task(desk.send(dialogue, "When are you open?", id=client_id))
    while not await in_database(DialogueTurn.objects.exists)():
        await asyncio.sleep(0.02)
    ended = {"step": TurnStep.FAILED, "error_code": "insufficient_quota", "ended_at": now()}
    await in_database(DialogueTurn.objects.update)(**ended)
    refused = await first
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    engine.goes_on.set()
    again = await desk.send(dialogue, "When are you open?", id=client_id)
    assert again.json()["answer"]["text"] == "9 to 5."
    assert [each["role"] for each in await desk.messages(dialogue)].count("person") == 1


@pytest.mark.parametrize(("last", "resolved"), [("When are you open?", 0), ("Thank you", 1)])
async def test_who_ends_it_before_the_answer_was_not_helped(
    desk: Helpdesk, engine: EngineServer, last: str, resolved: int
) -> None:
    dialogue = (await desk.begin())["id"]
    await desk.answer_to(dialogue, "When are you open?")
    engine.goes_on.clear()
    sending = asyncio.create_task(desk.send(dialogue, last))
    while not await in_database(DialogueTurn.objects.open().exists)():
        await asyncio.sleep(0.02)
    await desk.client.post(f"/v1/dialogues/{dialogue}/close", json={})
    engine.goes_on.set()
    assert (await sending).json()["answer"] is None
    today = timezone.localdate(timezone=UTC)
    cohort = Cohort(desk.tenant.pk, Span(today - timedelta(days=1), today, "UTC"))
    total = await in_database(lambda: ServiceReport(cohort).total)()
    assert (total.dialogues, total.resolved) == (1, resolved)


async def test_of_an_erased_person_nothing_is_taken(desk: Helpdesk) -> None:
    dialogue = (await desk.begin())["id"]
    turns = DialogueTurn.objects.filter(step=TurnStep.ANSWERED)
    await desk.answer_to(dialogue, "When are you open?")
    assert await in_database(turns.count)() == 1
    await in_database(Person.objects.all().delete)()
    answer = await desk.send(dialogue, "Hello?")
    assert answer.status_code == 404
