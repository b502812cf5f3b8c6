"""What holds up some lines of a batch, or its key, and not the rest."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async
from django.utils import timezone
from pytest_django.fixtures import Settings

from inference import engines
from inference.api.batch import driver, lines, progress
from inference.api.batch.in_flight import Shares
from inference.api.batch.progress import LineProgress
from inference.engines import Pool
from inference.intake import draft, route
from inference.intake.errors import EnginesPaused
from inference.models import Batch, BatchLine, Completion, IdempotencyKey
from tenants.caller import Caller
from tenants.models import ApiKey, Quota, Tenant
from tests.inference.batch.conftest import Echo, Shop, line
from tests.inference.running import Bench, until

in_database = database_sync_to_async


def of_model(number: int, model: str) -> dict[str, Any]:
    found = line(number)
    found["body"]["model"] = model
    return found


@pytest.fixture
def paused(shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model `away`, whose engines are."""
    away = {"pools": {f"away-{uuid4().hex}": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}}
    settings.ENGINES = settings.ENGINES | {"away": {"context_length": 4096, **away}}
    engines.forget()

    def paused(caller: Caller, model: str, *more: object) -> Pool:
        if model == "away":
            raise EnginesPaused(model, 60)
        return route.route(caller, model, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(draft, "route", paused)


async def test_a_paused_model_holds_up_no_other(
    shop: Shop, paused: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BATCH_IN_FLIGHT = 2
    lines = [of_model(n, "away") for n in range(6)] + [line(n) for n in range(6, 9)]
    batch = await shop.begin(lines)
    driving = shop.drive()
    await until(lambda: in_database(lambda: Batch.objects.get().completed == 3)())
    assert await in_database(BatchLine.objects.filter(model="away", state="waiting").count)() == 6
    monkeypatch.undo()
    await shop.client.post(f"/v1/batches/{batch['id']}/cancel")
    driving.cancel()


async def test_a_quota_of_one_model_holds_up_no_other(
    shop: Shop, settings: Settings, acme: Tenant
) -> None:
    settings.BATCH_IN_FLIGHT = 4
    quota = partial(Quota.set, acme, unit="requests", window="day", by="test")
    await in_database(quota)(model="mock", limit=1)
    other = {"pools": {f"away-{uuid4().hex}": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}}
    settings.ENGINES = settings.ENGINES | {"away": {"context_length": 4096, **other}}
    engines.forget()
    lines = [line(n) for n in range(4)] + [of_model(n, "away") for n in range(4, 10)]
    batch = await shop.begin(lines)
    driving = shop.drive()
    begun = Completion.objects.filter(model="away")
    await until(lambda: in_database(lambda: begun.count() == 4)())
    assert await in_database(Completion.objects.filter(model="mock").count)() == 1
    await shop.client.post(f"/v1/batches/{batch['id']}/cancel")
    driving.cancel()


async def test_what_ends_just_before_a_rest_is_written_down(
    shop: Shop, paused: None, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = LineProgress.write

    async def as_the_other_line_ends(self: LineProgress) -> None:
        first = bool(self._ended) and not echo.gate.is_set()
        await write(self)
        if first:
            echo.gate.set()
            await until(lambda: asyncio.sleep(0, self._ended))

    monkeypatch.setattr(LineProgress, "write", as_the_other_line_ends)
    echo.free = 1
    await shop.begin([of_model(1, "away"), line(2), line(3)])
    await shop.drive()
    assert (await in_database(Batch.objects.get)()).completed == 2


@pytest.mark.unit
def test_batches_of_a_tenant_share_what_it_may_have(settings: Settings) -> None:
    settings.BATCH_IN_FLIGHT, settings.BATCH_TENANT_IN_FLIGHT = 64, 100
    shares, acme, globex = Shares(), uuid4(), uuid4()
    found = []
    for _ in range(3):
        shares.join(acme)
        found.append(shares.of_a_batch(acme))
    shares.join(globex)
    assert found == [64, 50, 33]
    assert shares.of_a_batch(globex) == 64
    shares.leave(acme)
    assert shares.of_a_batch(acme) == 50
    settings.BATCH_TENANT_IN_FLIGHT = 1
    assert shares.of_a_batch(acme) == 1


async def test_a_driver_that_is_full_takes_turns_among_tenants(
    shop: Shop, echo: Echo, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tenant's batches would take all there is for a day, and those of others expire."""
    monkeypatch.setattr(driver, "MOST", 2)
    monkeypatch.setattr(driver, "TURN_S", 0.0)
    settings.BATCH_TENANT_IN_FLIGHT, echo.gate = 2, asyncio.Event()
    echo.free = 2
    for _ in range(3):
        await shop.begin([line(1), line(2)])
    driving = shop.drive()
    running = Batch.objects.filter(state="in_progress")
    await until(in_database(lambda: running.count() == 2))
    globex = await in_database(Tenant.open)("globex", by="test")
    _key, text = await in_database(ApiKey.issue)(globex, "ci", by="test")
    shop.client.headers["Authorization"] = f"Bearer {text}"
    batch = await shop.begin([line(9)])
    theirs = Batch.objects.filter(tenant=globex)
    await until(in_database(lambda: theirs.get().state == "in_progress"))
    echo.gate.set()
    await asyncio.wait_for(driving, 30)
    assert (await shop.batch(batch))["status"] == "completed"

    async def all_complete() -> bool:
        await shop.drive()  # who had to rest is taken up again
        return not await in_database(Batch.objects.exclude(state="completed").exists)()

    await until(all_complete)
    assert len(echo.asked) == 7, "no line has run twice"


async def test_whose_key_was_rotated_goes_on_with_the_new_one(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await shop.begin([line(n) for n in range(3)])
    monkeypatch.setattr(shop.context.authenticator, "_remembered", lambda _digest: None)
    await in_database(shop.key.rotate)(by="test", overlap=timedelta(0))
    await shop.drive()
    ended = await in_database(Batch.objects.get)()
    assert (ended.state, ended.completed) == ("completed", 3)
    assert batch["id"] == ended.public_id


async def test_a_key_that_was_rotated_to_somebody_else_ends_it(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have not seen what it asks for, and do not pay for it."""
    await shop.begin([line(n) for n in range(3)])
    monkeypatch.setattr(shop.context.authenticator, "_remembered", lambda _digest: None)
    await in_database(shop.key.rotate)(by=f"user:{uuid4()}", overlap=timedelta(0))
    await shop.drive()
    ended = await in_database(Batch.objects.get)()
    assert (ended.state, ended.problems[0]["code"]) == ("failed", "access_revoked")
    assert echo.asked == []


async def test_a_pool_has_a_window_of_its_own(
    shop: Shop, bench: Bench, echo: Echo, settings: Settings
) -> None:
    at = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    pools = {bench.pool: {**at, "window": {"hours": "22:00-06:00"}}}
    settings.ENGINES = {"mock": {"context_length": 4096, "template_tokens": 64, "pools": pools}}
    engines.forget()
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=1)
    shop.now = lambda: noon
    batch = await shop.begin([line(1)])
    await in_database(Batch.objects.update)(expires_at=noon + timedelta(days=3))
    assert (await shop.done(batch))["status"] == "in_progress"
    assert echo.asked == []
    row = await in_database(Batch.objects.get)()
    assert row.due_at == noon.replace(hour=22)


async def test_what_has_run_is_known_until_the_batch_has_ended(shop: Shop) -> None:
    """A driver that comes back after a day does not run it again."""
    batch = await shop.begin([line(1)])
    await shop.done(batch)
    await in_database(IdempotencyKey.objects.update)(created_at=timezone.now() - timedelta(days=2))
    assert await in_database(IdempotencyKey.objects.over().count)() == 1
    await in_database(Batch.objects.update)(state="in_progress", ended_at=None)
    assert await in_database(IdempotencyKey.objects.over().count)() == 0


async def test_ends_of_lines_are_written_together(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alone would be a transaction, and cost as much as its request."""
    written = Mock(side_effect=lines.save)
    monkeypatch.setattr(lines, "save", written)
    monkeypatch.setattr(progress, "WRITE_S", 60)
    ended = await shop.done(await shop.begin([line(n) for n in range(12)]))
    assert ended["request_counts"] == {"total": 12, "completed": 12, "failed": 0}
    groups = [len(call.args[1]) for call in written.call_args_list]
    assert sum(groups) == 12
    assert len(groups) <= 2  # the first ones, and the rest
