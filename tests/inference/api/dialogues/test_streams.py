"""Answers as events: sentence by sentence, checked, and read again from any of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from msgspec import structs

from inference.api.dialogues import feed, sending
from inference.assistants import spec as specs
from inference.dialogues import stepping
from inference.dialogues.wording_request import Wording
from inference.knowledge.searching import Cited
from inference.models import (
    AssistantVersion,
    Dialogue,
    DialogueMessage,
    DialogueTurn,
    TurnStep,
)
from inference.models.assistants.assistant_version import Written
from tests.inference.api.conftest import in_database
from tests.inference.api.dialogues.conftest import Helpdesk
from tests.inference.engine_server import EngineServer

pytestmark = pytest.mark.django_db(transaction=True)
Events = list[tuple[str, str, dict[str, Any]]]


PASSAGE = Cited(
    id=1,
    document=UUID(int=1),
    name="delivery.md",
    titles=["Delivery"],
    url="https://acme.example/delivery",
    text="Delivery costs 5 euros.",
    score=1.0,
    likeness=1.0,
    shared=1.0,
)


@pytest.fixture
async def worded(desk: Helpdesk, engine: EngineServer, monkeypatch: pytest.MonkeyPatch) -> Helpdesk:
    """The assistant has a knowledge base with one passage, and a model that words it."""

    async def search(*_arguments: Any) -> list[Cited]:
        return [PASSAGE]

    monkeypatch.setattr(stepping, "search", search)
    monkeypatch.setattr(stepping, "_model_of", lambda _base: "small")
    base = "6f2c1e1e-0f55-4f5e-9d3c-0a51b0f6a111"
    await in_database(_change)(chat_model="small", knowledge=base)
    engine.words = ["It costs ", "5 euros. ", "It weighs ", "7 kg. ", "Ask for ", "more."]
    return desk


def _change(**changes: Any) -> None:
    version = AssistantVersion.objects.get()
    assert version.api_key
    changed = structs.replace(version.spec, **changes)
    again = AssistantVersion.of(
        version.assistant, _written(changed), by="member:1", caller=version.api_key
    )
    fields = {"data_key_id": again.data_key_id, "ciphertext": again.ciphertext}
    AssistantVersion.objects.update(**fields)


def _written(spec: specs.AssistantSpec) -> Any:
    return Written(specs.packed(spec), spec.embedding_model, 8)


def events_in(text: str) -> Events:
    """Returns the id, the name and the data of each event."""
    events: Events = []
    for event in text.split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in event.split("\n") if not line.startswith(":"))
        if lines:
            data = orjson.loads(lines["data"])
            events.append((lines.get("id", ""), lines["event"], data))
    return events


async def read(answer: httpx.Response) -> Events:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events_in(answer.text)


def message_in(events: Events) -> dict[str, Any]:
    return next(data for _id, name, data in events if name == "message")


async def test_only_what_the_sources_have_is_given_out(worded: Helpdesk) -> None:
    dialogue = (await worded.begin())["id"]
    events = await read(await worded.send(dialogue, "What does it cost?", stream=True))
    message = message_in(events)
    assert message["text"] == "It costs 5 euros. Ask for more."
    assert message["worded_by"] == "model"
    assert message["sources"] == [
        {"id": "1", "title": "Delivery", "url": "https://acme.example/delivery"}
    ]
    assert events[-1][1] == "end"


async def test_a_stream_ends_with_the_key_of_its_reader(
    desk: Helpdesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "EVERY_S", 0.3)
    monkeypatch.setattr(feed, "IDLE_S", 0.2)
    dialogue = (await desk.begin())["id"]
    path, accept = f"/v1/dialogues/{dialogue}/messages", {"accept": "text/event-stream"}
    reading = asyncio.create_task(desk.client.get(path, headers=accept))
    await asyncio.sleep(0.5)
    await in_database(desk.key.revoke)(by="test")
    answer = await asyncio.wait_for(reading, 60)
    *_events, (_id, name, data) = events_in(answer.text)
    assert (name, data["error"]["code"]) == ("error", "invalid_api_key")


async def test_a_closed_dialogue_is_read_to_its_end(
    desk: Helpdesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "AT_A_TIME", 2)
    dialogue = (await desk.begin())["id"]
    await desk.answer_to(dialogue, "When are you open?")
    await desk.client.post(f"/v1/dialogues/{dialogue}/close", json={})
    path, accept = f"/v1/dialogues/{dialogue}/messages", {"accept": "text/event-stream"}
    events = await read(await desk.client.get(path, headers=accept))
    assert [event for event, name, _data in events if name == "message"] == ["1", "2", "3"]
    assert events[-1][1] == "end"


async def test_a_stream_goes_on_after_any_of_its_events(worded: Helpdesk) -> None:
    dialogue = (await worded.begin())["id"]
    whole = await read(await worded.send(dialogue, "What does it cost?", stream=True))
    path, closing = f"/v1/dialogues/{dialogue}/messages", f"/v1/dialogues/{dialogue}/close"
    await worded.client.post(closing, json={})
    for last, _name, _data in [event for event in whole if event[0]]:
        again = await worded.client.get(path, headers={"last-event-id": last})
        rest = await read(again)
        assert rest[-1][1] == "end"
        assert [event for event in rest if event[1] == "message"] == (
            [] if "." not in last else [event for event in whole if event[1] == "message"]
        )
    wrong = await worded.client.get(path, headers={"last-event-id": "x"})
    assert wrong.status_code == 400


async def test_the_whole_dialogue_is_a_stream(worded: Helpdesk) -> None:
    dialogue = (await worded.begin())["id"]
    await worded.answer_to(dialogue, "When are you open?")
    await worded.client.post(f"/v1/dialogues/{dialogue}/close", json={})
    path, accept = f"/v1/dialogues/{dialogue}/messages", {"accept": "text/event-stream"}
    events = await read(await worded.client.get(path, headers=accept))
    assert [(event, data.get("role")) for _id, event, data in events] == [
        ("message", "assistant"),
        ("message", "person"),
        ("message", "assistant"),
        ("status", None),
        ("end", None),
    ]


async def test_without_the_model_plain_words_answer(worded: Helpdesk) -> None:
    await in_database(_change)(chat_model="gone")
    dialogue = (await worded.begin())["id"]
    turn = await worded.answer_to(dialogue, "What does it cost?")
    assert turn["answer"]["worded_by"] == "plain"
    assert turn["answer"]["text"].startswith("Delivery costs 5 euros.")


async def test_a_model_that_says_what_no_source_has_is_not_heard(
    worded: Helpdesk, engine: EngineServer
) -> None:
    dialogue = (await worded.begin())["id"]
    engine.words = ["Call Mr. Miller ", "at https://evil.example/."]
    turn = await worded.answer_to(dialogue, "What does it cost?")
    assert turn["answer"]["worded_by"] == "plain"
    assert "evil" not in turn["answer"]["text"]


async def test_a_human_who_takes_over_ends_the_answer_under_way(
    worded: Helpdesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = asyncio.Event()

    async def texts(_self: Wording, *_what: Any) -> AsyncIterator[str]:
        yield "It costs 5 euros. Ask"
        await taken.wait()
        yield "It costs 5 euros. Ask for more. Thank you."

    monkeypatch.setattr(Wording, "texts", texts)
    dialogue = (await worded.begin())["id"]
    sending = asyncio.create_task(worded.send(dialogue, "What does it cost?"))
    partial = DialogueMessage.objects.filter(whole=False)
    while not await in_database(partial.exists)():
        await asyncio.sleep(0.05)
    await in_database(Dialogue.objects.update)(status="with_human", taken_by="member:1")
    taken.set()
    answer = (await sending).json()
    assert answer["dialogue"]["status"] == "with_human"
    assert answer["answer"]["text"] == "It costs 5 euros. "
    assert (await in_database(DialogueTurn.objects.get)()).step == TurnStep.SUPERSEDED
