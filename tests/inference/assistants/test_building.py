"""Versions that are written and built before a running engine, and sentences tried with them."""

import asyncio
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from channels.db import database_sync_to_async
from django.core.exceptions import ValidationError
from django.db import connections
from django.utils import timezone

from inference.api.assistants import building, driver, trying, writing
from inference.api.deferred import Wait
from inference.assistants.faults import WrongSpec
from inference.assistants.spec import AssistantSpec, Intent, Slot
from inference.assistants.understanding import Classifier
from inference.models import Assistant, AssistantVersion, Completion
from inference.models.assistants.assistant_version import BuildState
from tenants.models import ApiKey
from tests.inference.assistants.rows import furnish
from tests.inference.assistants.shop import SHOP
from tests.inference.vectors.conftest import House
from tests.inference.web import current

pytestmark = pytest.mark.django_db(transaction=True)
in_database = database_sync_to_async
SPEC = msgspec.structs.replace(SHOP, embedding_model="vectors", sure=0.2)
EXAMPLES = {each for one in SPEC.intents for texts in one.examples.values() for each in texts}


def without_slots(intent: Intent) -> Intent:
    return msgspec.structs.replace(intent, slots=[])


async def a_key(house: House) -> ApiKey:
    return (await in_database(ApiKey.issue)(house.tenant, "ci", by="test"))[0]


async def created(house: House, spec: AssistantSpec = SPEC) -> AssistantVersion:
    key = await a_key(house)
    await in_database(furnish)(house.tenant)
    create = in_database(writing.create)
    assistant = await create(house.tenant, "shop", spec, by=key.actor, caller=key)
    return await in_database(assistant.versions.select_related("assistant", "tenant").get)()


async def driven(version: AssistantVersion) -> AssistantVersion:
    """Run in a thread without a loop, as a task does."""
    await asyncio.get_running_loop().run_in_executor(None, _drive)
    await in_database(version.refresh_from_db)()
    return version


def _drive() -> None:
    try:
        driver.build_due()
    finally:
        connections.close_all()


async def test_a_version_is_built_with_figures(words: House) -> None:
    version = await driven(await created(words))
    assert (version.build, version.error_code) == (BuildState.BUILT, "")
    assert version.percent == 100
    assert version.figures
    assert version.figures["examples"] == version.examples == 48
    assert {each["intent"] for each in version.figures["intents"]} == {
        intent.name for intent in SPEC.intents
    }
    assert version.figures["confusions"]
    assert not any(example in str(version.figures) for example in EXAMPLES), "it is in clear"
    shown = await in_database(lambda: version.shown_figures)()
    assert shown
    assert {each["example"] for each in shown["confusions"]} <= EXAMPLES
    assert sum(words.engine.portions) == 48
    assert await in_database(Completion.objects.count)() == 1, "a request like any other"


async def test_a_sentence_is_tried(words: House) -> None:
    version = await driven(await created(words))
    key = await a_key(words)
    caller = await current().authenticator.by_digest(bytes(key.digest))
    spec, classifier = await in_database(lambda: (version.spec, version.classifier))()
    assert classifier
    text = "where is my parcel AB-1234"
    trial = await trying.tried(current(), caller, spec, classifier, text)
    assert trial.predictions[0].intent == "track"
    assert trial.is_sure
    assert trial.slots == {"order": "AB-1234"}
    assert len(trial.predictions) == trying.MOST_SHOWN


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])  # 25 hours apart
async def test_today_is_the_tenants(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def embedded(*_what: Any) -> list[list[float]]:
        return [[1.0]]

    monkeypatch.setattr(trying, "embedded", embedded)
    day = Slot(name="day", kind="date", ask={"en": "When?"})
    intents = [msgspec.structs.replace(SPEC.intents[0], slots=[day])]
    spec = msgspec.structs.replace(SPEC, intents=intents)
    classifier = Classifier("vectors", ["track"], [[1.0]], [0.0])
    caller: Any = SimpleNamespace(time_zone=zone)
    context: Any = None
    trial = await trying.tried(context, caller, spec, classifier, "Where is it today?")
    assert trial.slots == {"day": timezone.localdate(timezone=ZoneInfo(zone)).isoformat()}


async def test_a_sentence_is_tried_by_a_page(words: House) -> None:
    """A page runs in Django's one thread for queries, which must not wait for itself."""
    version = await driven(await created(words))
    key = await a_key(words)
    async with ThreadSensitiveContext():
        trial = await sync_to_async(trying.try_now)(version, key, "refund my order please")
    assert trial.predictions[0].intent == "refund"


async def test_a_build_waits_while_the_engine_fails_and_goes_on(words: House) -> None:
    answer = words.engine.answer
    words.engine.answer, words.engine.status = lambda _body: b"{}", 503
    version = await driven(await created(words))
    assert version.build == BuildState.QUEUED
    assert version.due_at
    assert version.attempts == 0, "it counts as none"
    words.engine.answer, words.engine.status = answer, 200
    await in_database(AssistantVersion.objects.update)(due_at=version.created_at)
    for _look in range(20):
        if (await driven(version)).build == BuildState.BUILT:
            return
        await in_database(AssistantVersion.objects.update)(due_at=version.created_at)
        await asyncio.sleep(0.5)
    pytest.fail(f"{version.build} {version.error_code}")


async def test_a_build_that_waits_for_a_limit_pays_for_no_example_twice(words: House) -> None:
    version, waits = await created(words), [Wait(5.0)]
    embedded = building.embedded

    async def limited(*arguments: Any) -> list[list[float]]:
        if len(words.engine.portions) == 2 and waits:
            raise waits.pop()
        return await embedded(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "embedded", limited)
        patch.setattr(building, "BATCH", 10)
        assert (await driven(version)).build == BuildState.QUEUED
        await in_database(AssistantVersion.objects.update)(due_at=version.created_at)
        assert (await driven(version)).build == BuildState.BUILT
    assert words.engine.portions == [10, 10, 10, 10, 8]


async def test_a_build_whose_key_was_revoked_fails_and_says_so(words: House) -> None:
    version = await created(words)
    key = await in_database(ApiKey.objects.get)(pk=version.api_key_id)
    await in_database(key.revoke)(by="test")
    version = await driven(version)
    assert (version.build, version.error_code) == (BuildState.FAILED, "access_revoked")


async def test_vectors_without_a_direction_are_refused(words: House) -> None:
    words.engine.answer = None
    version = await created(words)

    async def zeros(*_arguments: Any) -> list[list[float]]:
        return [[0.0, 0.0]] * 48

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "embed", zeros)
        version = await driven(version)
    assert version.error_code == "useless_vectors"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"embedding_model": "gone"}, "embedding_model"),
        ({"embedding_model": "chats"}, "embedding_model"),
        ({"chat_model": "gone"}, "chat_model"),
        ({"knowledge": "00000000-0000-4000-8000-000000000000"}, "knowledge"),
        ({"actions": [*SHOP.actions, "gone"]}, "actions.3"),
        ({"intents": [without_slots(SHOP.intents[0]), *SHOP.intents[1:]]}, "intents.0.slots"),
    ],
)
async def test_what_the_tenant_lacks_is_a_fault(
    words: House, fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(WrongSpec) as wrong:
        await created(words, msgspec.structs.replace(SPEC, **fields))
    assert [fault.path for fault in wrong.value.faults] == [path]


async def test_a_version_of_an_embedding_model_that_was_replaced_is_not_promoted(
    words: House,
) -> None:
    version = await driven(await created(words))
    await in_database(AssistantVersion.objects.update)(embedding_version="older")
    await in_database(version.refresh_from_db)()
    assert (await in_database(writing.has_other_embeddings)(version)) is bool(
        writing.embedding_version(words.tenant.pk, "vectors")
    )
    await in_database(version.submit)(by="member:alice")
    await in_database(version.approve)(by="member:bob")
    if await in_database(writing.has_other_embeddings)(version):
        with pytest.raises(ValidationError, match="build this version again"):
            await in_database(writing.promote)(version, by="member:alice")
    assert await in_database(Assistant.objects.filter(live=None).count)() == 1
