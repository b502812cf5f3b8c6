"""A response in the background goes on without its client, and is cancelled by its key."""

from typing import Any

import httpx
import pytest

from inference.engine_entries import SLOTS
from inference.models import Usage
from tests.inference.api.responses.stored.asking import (
    bills,
    cancel,
    completion_of,
    create,
    ended,
    events,
    get,
    in_database,
    send,
    state,
    stored_rows,
    text,
)
from tests.inference.engine_server import EngineServer
from tests.inference.running import until


async def test_it_is_queued_runs_and_is_polled(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    created = await create(alice, background=True)
    assert (created["status"], created["background"], created["output"]) == ("queued", True, [])
    assert created["usage"] is None

    async def is_running() -> bool:
        return bool((await get(alice, created)).json()["status"] == "in_progress")

    await until(is_running)
    engine.goes_on.set()
    over = await ended(alice, created)
    assert (over["status"], text(over)) == ("completed", "One two three")
    assert over["usage"]["total_tokens"] == 10
    assert (await bills(created), await state(created)) == (1, "done")
    assert len(engine.asked) == 1


async def test_it_needs_to_be_stored(alice: httpx.AsyncClient, engine: EngineServer) -> None:
    reply = await send(alice, background=True, store=False)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "background")
    assert (engine.asked, await stored_rows()) == ([], 0)


async def test_streamed_it_has_the_same_events(alice: httpx.AsyncClient) -> None:
    sent = events(await send(alice, background=True, stream=True))
    final = sent[-1]["response"]
    assert (final["status"], text(final)) == ("completed", "One two three")
    assert [event["sequence_number"] for event in sent] == list(range(len(sent)))
    again = events(await get(alice, final, stream=True))
    assert [event["type"] for event in again] == [event["type"] for event in sent]


async def test_a_running_one_is_cancelled(alice: httpx.AsyncClient, engine: EngineServer) -> None:
    engine.second_half.clear()
    created = await create(alice, background=True)
    await until(_asked(engine))
    for _ in range(2):  # repeated: the same answer
        reply = await cancel(alice, created)
        assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
    engine.second_half.set()
    assert (await get(alice, created)).json()["status"] == "cancelled"
    assert (await state(created), await bills(created)) == ("cancelled", 1)


def _asked(engine: EngineServer) -> Any:
    async def has_been() -> bool:
        return bool(engine.asked)

    return has_been


async def test_a_cancelled_one_that_waited_costs_nothing(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    running = [await create(alice, background=True) for _ in range(SLOTS + 2)]
    last = running[-1]
    assert (await get(alice, last)).json()["status"] == "queued"
    assert (await cancel(alice, last)).json()["status"] == "cancelled"
    usage = await in_database(Usage.objects.get)(pk=completion_of(last))
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost) == (0, 0, 0)
    engine.goes_on.set()
    for created in running[:-1]:
        await ended(alice, created)


async def test_one_that_is_over_stays_as_it_is(alice: httpx.AsyncClient) -> None:
    created = await create(alice, background=True)
    over = await ended(alice, created)
    reply = await cancel(alice, created)
    assert (reply.status_code, reply.json()) == (200, over)


async def test_another_one_ends_with_its_client_alone(alice: httpx.AsyncClient) -> None:
    reply = await cancel(alice, await create(alice))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, "response_not_in_background")


async def test_one_that_fails_says_so(alice: httpx.AsyncClient, engine: EngineServer) -> None:
    engine.status = 500
    over = await ended(alice, await create(alice, background=True))
    assert (over["status"], over["output"]) == ("failed", [])
    assert over["error"]["code"]
    assert await bills(over) == 1


async def test_repeated_with_a_key_it_runs_once(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    alice.headers["Idempotency-Key"] = "once"
    first, again = [await create(alice, background=True) for _ in range(2)]
    del alice.headers["Idempotency-Key"]
    assert first["id"] == again["id"]
    assert text(await ended(alice, first)) == "One two three"
    assert (len(engine.asked), await stored_rows()) == (1, 1)


@pytest.mark.usefixtures("numbered")
async def test_a_kept_answer_is_stored_as_well(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    alice.headers["x-forebay-cache"] = "use"
    first, again = [
        await ended(alice, await create(alice, background=True, temperature=0)) for _ in range(2)
    ]
    assert first["id"] != again["id"]
    assert text(first) == text(again) == "One two three #1"
    assert (len(engine.asked), await stored_rows()) == (1, 2)
