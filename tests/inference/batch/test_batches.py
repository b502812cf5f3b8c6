"""A batch from its file to its results, over the API and with a real queue."""

import asyncio
from codecs import BOM_UTF8
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import orjson
import pytest
from channels.db import database_sync_to_async
from django.db import OperationalError
from django.db.models import F, Sum
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.models import Event, Payload
from audit.search import texts
from inference import engines, tasks
from inference.api.batch import driver, in_flight, submitting
from inference.api.batch.progress import TRIES
from inference.api.batch.work import BatchWork
from inference.batch import results
from inference.batch.file_store import FileReader
from inference.batch.windows import wake_resting_soon
from inference.engines.base import EngineFailed
from inference.models import (
    Batch,
    BatchLine,
    Completion,
    File,
    FileChunk,
    IdempotencyKey,
    Usage,
    UsageHour,
)
from inference.pool_policy import PoolWindow
from inference.queue_control import cancelling
from inference.registry.following import changed
from inference.stream.frame_reader import FrameReader
from inference.usage.rollup import roll_up
from inference.worker.handlers.generation import Generation
from tenants.models import CacheRule, Price, Quota, Tenant
from tests.inference.batch.conftest import CHAT, TEXT, Echo, Shop, line, rows_of
from tests.inference.running import until

in_database = database_sync_to_async


async def test_each_line_is_answered(shop: Shop, echo: Echo) -> None:
    batch = await shop.begin([line(n) for n in range(10)], metadata={"job": "nightly"})
    assert batch["status"] == "validating"
    assert batch["metadata"] == {"job": "nightly"}
    assert batch["expires_at"] - batch["created_at"] == 24 * 3600
    ended = await shop.done(batch)
    assert ended["status"] == "completed"
    assert ended["request_counts"] == {"total": 10, "completed": 10, "failed": 0}
    assert ended["error_file_id"] is None
    assert None not in (ended["in_progress_at"], ended["finalizing_at"], ended["completed_at"])
    rows = await shop.lines(ended["output_file_id"])
    assert [row["custom_id"] for row in rows] == [f"id-{n}" for n in range(10)]
    for number, row in enumerate(rows):
        assert (row["response"]["status_code"], row["error"]) == (200, None)
        said = row["response"]["body"]["choices"][0]["message"]["content"]
        assert said == f"say {number}"
    assert sorted(echo.said) == sorted(f"say {n}" for n in range(10))


async def test_a_line_waits_for_a_postgresql_whose_primary_changes(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, cut_off = FileReader.read, list[str]()

    def cut(self: FileReader, offset: int, length: int) -> bytes:
        if not cut_off:
            cut_off.append("once")
            raise OperationalError("server closed the connection unexpectedly")
        return read(self, offset, length)

    monkeypatch.setattr(FileReader, "read", cut)
    ended = await shop.done(await shop.begin([line(n) for n in range(3)]))
    assert cut_off
    assert ended["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert sorted(echo.said) == sorted(f"say {n}" for n in range(3))


async def test_it_is_on_record(shop: Shop) -> None:
    """As a batch, and each line as any request, with the id that the results name."""
    ended = await shop.done(await shop.begin([line(1), line(2)]))
    rows = await shop.lines(ended["output_file_id"])
    events = await rows_of(Event.objects.order_by("id"))
    acts = [event.action for event in events if event.action.startswith(("batch:", "file:"))]
    assert acts == ["file:create", "batch:create", "file:create", "batch:end", "file:read"]
    received = {str(e.request_id) for e in events if e.action == "completion:received"}
    assert received == {row["response"]["request_id"] for row in rows}
    assert {e.route for e in events if e.action == "completion:received"} == {"/v1/batches"}
    assert {e.actor for e in events if e.action.startswith("batch:")} == {shop.key.actor}


async def test_it_says_its_model_and_what_it_has_taken(shop: Shop) -> None:
    """Also where its file begins with a byte order mark."""
    first, *others = [orjson.dumps(line(n)) for n in range(3)]
    batch = await shop.begin([BOM_UTF8 + first, *others])
    assert (batch["model"], batch["usage"]) == (None, None)
    ended = await shop.done(batch)
    bodies = [row["response"]["body"] for row in await shop.lines(ended["output_file_id"])]
    sums = {
        name: sum(body["usage"][name] for body in bodies)
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    assert (len(bodies), ended["model"]) == (3, "mock")
    assert ended["usage"] == {
        "input_tokens": sums["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": sums["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sums["total_tokens"],
    }
    assert sums["total_tokens"] > 0


async def test_text_completions(shop: Shop) -> None:
    body = {"model": "mock", "prompt": "Once", "max_tokens": 4}
    lines = [line(n, url=TEXT, body=body) for n in range(2)]
    ended = await shop.done(await shop.begin(lines, TEXT))
    rows = await shop.lines(ended["output_file_id"])
    assert [row["response"]["body"]["choices"][0]["text"] for row in rows] == ["Once"] * 2


async def test_the_results_are_a_file_like_others(shop: Shop) -> None:
    ended = await shop.done(await shop.begin([line(1)]))
    found = (await shop.client.get(f"/v1/files/{ended['output_file_id']}")).json()
    assert found["purpose"] == "batch_output"
    assert found["filename"] == f"{ended['id']}_output.jsonl"
    asked = {"input_file_id": found["id"], "endpoint": CHAT, "completion_window": "24h"}
    answer = await shop.client.post("/v1/batches", json=asked)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input_file_id")


async def test_large_answers_are_read_some_at_a_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, read = list[int](), results._answers

    def counted(lines: list[BatchLine]) -> dict[UUID, Payload]:
        sizes.append(len(lines))
        return read(lines)

    monkeypatch.setattr(results, "_answers", counted)
    monkeypatch.setattr(texts, "PORTION", 1)
    ended = await shop.done(await shop.begin([line(number) for number in range(3)]))
    assert sizes == [1, 1, 1]
    rows = await shop.lines(ended["output_file_id"])
    assert [row["custom_id"] for row in rows] == ["id-0", "id-1", "id-2"]


async def test_the_list_has_cursors(shop: Shop) -> None:
    ids = [(await shop.begin([line(n)]))["id"] for n in range(3)]
    first = (await shop.client.get("/v1/batches", params={"limit": 2})).json()
    assert [batch["id"] for batch in first["data"]] == ids[:0:-1]
    assert first["has_more"]
    rest = (await shop.client.get("/v1/batches", params={"after": first["last_id"]})).json()
    assert [batch["id"] for batch in rest["data"]] == ids[:1]


async def test_a_batch_that_asks_for_something_else(shop: Shop) -> None:
    file = (await shop.upload(b"{}")).json()
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    changes: list[dict[str, Any]] = [
        {"endpoint": "/v1/rerank"},
        {"completion_window": "1h"},
        {"metadata": {"a": 1}},
        {"metadata": {str(n): "x" for n in range(17)}},
        {"input_file_id": 7},
        {"output_expires_after": "1h"},
    ]
    for change in changes:
        answer = await shop.client.post("/v1/batches", json=asked | change)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == next(iter(change))


async def test_so_many_are_under_way_at_once(shop: Shop, settings: Settings) -> None:
    settings.BATCHES_UNDER_WAY = 1
    batch = await shop.begin([line(1)])
    asked = {"endpoint": CHAT, "completion_window": "24h"}
    asked["input_file_id"] = batch["input_file_id"]
    answer = await shop.client.post("/v1/batches", json=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_batches")
    await shop.done(batch)
    assert (await shop.client.post("/v1/batches", json=asked)).status_code == 200


# Lines that are refused, and fail -----------------------------------------------------------------
async def test_a_line_that_is_refused_fails_alone(shop: Shop) -> None:
    wrong = line(2)
    wrong["body"]["temperature"] = "hot"
    unknown = line(3)
    unknown["body"]["model"] = "gpt-9"
    streamed = line(4)
    streamed["body"]["stream"] = True
    ended = await shop.done(await shop.begin([line(1), wrong, unknown, streamed]))
    assert ended["status"] == "completed"
    assert ended["request_counts"] == {"total": 4, "completed": 1, "failed": 3}
    rows = await shop.lines(ended["error_file_id"])
    told = [(row["custom_id"], row["response"]["status_code"]) for row in rows]
    assert told == [("id-2", 400), ("id-3", 404), ("id-4", 400)]
    params = [row["response"]["body"]["error"]["param"] for row in rows]
    assert params == ["temperature", "model", "stream"]
    assert await in_database(Completion.objects.count)() == 1


async def test_a_line_that_fails_is_in_the_error_file(shop: Shop, echo: Echo) -> None:
    echo.failure = EngineFailed(500, "engine_failed", "it broke")
    echo.failure.engines_fault = False
    ended = await shop.done(await shop.begin([line(1)]))
    (row,) = await shop.lines(ended["error_file_id"])
    assert row["response"]["status_code"] == 500
    assert row["response"]["body"]["error"]["message"] == "it broke"
    assert ended["output_file_id"] is None


async def test_a_line_that_runs_too_long_fails(shop: Shop, echo: Echo, settings: Settings) -> None:
    """It may wait for a day, but runs no longer than other requests."""
    settings.REQUEST_DEADLINE_S = 0.3
    echo.free = 0
    ended = await shop.done(await shop.begin([line(1)]))
    (row,) = await shop.lines(ended["error_file_id"])
    assert row["response"]["status_code"] == 504
    assert row["response"]["body"]["error"]["code"] == "deadline_exceeded"


async def test_what_may_pass_is_tried_again(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.api.batch.progress.PAUSE_S", 0.01)
    echo.failure = EngineFailed(429, "engine_busy", "too much")
    echo.failure.engines_fault = False
    driving = shop.done(batch := await shop.begin([line(1)]))
    task = asyncio.ensure_future(driving)
    await until(lambda: asyncio.sleep(0, len(echo.asked) >= 2))
    echo.failure = None
    ended = await task
    assert ended["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    assert await in_database(BatchLine.objects.filter(state="done").count)() == 1
    assert batch["id"] == ended["id"]
    assert await in_database(Usage.objects.count)() >= 2
    assert await in_database(_counted)() == (1, 0)


@pytest.mark.parametrize("driver", ["goes on", "dies"])
async def test_usage_has_the_tries_that_failed_and_were_billed(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    monkeypatch.setattr("inference.api.batch.progress.PAUSE_S", 0.6)
    echo.failure = EngineFailed(503, "engine_overloaded", "in the middle")
    echo.failure.engines_fault = False
    echo.free = 2  # the third try waits
    batch = await shop.begin([line(1)])
    driving = shop.drive()
    await until(lambda: asyncio.sleep(0, len(echo.asked) >= 3))
    paid = Usage.objects.filter(repeated=True)
    assert await in_database(paid.update)(prompt_tokens=7, completion_tokens=2) == 2
    if driver == "dies":
        driving.cancel()
        await asyncio.wait([driving])
        await in_database(Batch.objects.update)(leased_until=None, due_at=timezone.now())
        driving = shop.drive()
    echo.failure = None
    echo.gate.set()
    await asyncio.wait_for(driving, 30)
    usage = (await shop.batch(batch))["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (5 + 2 * 7, 3 + 2 * 2)


async def test_a_line_that_fails_each_time_counts_as_one_request(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.api.batch.progress.PAUSE_S", 0.01)
    echo.failure = EngineFailed(503, "engine_overloaded", "too much")
    echo.failure.engines_fault = False
    ended = await shop.done(await shop.begin([line(1), line(2)]))
    assert ended["request_counts"] == {"total": 2, "completed": 0, "failed": 2}
    assert await in_database(Usage.objects.count)() == 2 * TRIES
    assert await in_database(_counted)() == (2, 2)


def _counted() -> tuple[int, int]:
    """Requests and errors, as the usage pages have them."""
    roll_up()
    sums = UsageHour.objects.aggregate(
        requests=Sum("requests"),
        errors=Sum(F("errors_client") + F("errors_engine") + F("errors_platform")),
    )
    return sums["requests"], sums["errors"]


# Broken files -------------------------------------------------------------------------------------
async def test_broken_lines_fail_the_batch(shop: Shop, echo: Echo) -> None:
    """Each is told by its number; what stands in it is not."""
    bad = [b"{broken", line(1), line(2, url=TEXT)]
    ended = await shop.done(await shop.begin([line(1), b"", *bad, line(3)]))
    assert ended["status"] == "failed"
    assert ended["failed_at"]
    told = [(e["line"], e["code"], e["param"]) for e in ended["errors"]["data"]]
    assert told == [
        (3, "invalid_json_line", None),
        (4, "duplicate_custom_id", "custom_id"),
        (5, "mismatched_url", "url"),
    ]
    assert ended["request_counts"]["total"] == 0
    assert echo.asked == []


async def test_so_many_problems_are_told(shop: Shop) -> None:
    ended = await shop.done(await shop.begin([b"{"] * 500))
    assert [e["line"] for e in ended["errors"]["data"]] == list(range(1, 51))


async def test_an_empty_file(shop: Shop) -> None:
    ended = await shop.done(await shop.begin([b"", b"  "]))
    assert [e["code"] for e in ended["errors"]["data"]] == ["empty_file"]


async def test_nothing_but_line_breaks_is_not_read_to_its_end(
    shop: Shop, settings: Settings
) -> None:
    """Packed, 200 MB of them come in a moment; to count them takes minutes."""
    settings.BATCH_LINES = 3
    ended = await shop.done(await shop.begin([b""] * 2000))
    assert [e["code"] for e in ended["errors"]["data"]] == ["too_many_lines"]


async def test_too_many_lines(shop: Shop, settings: Settings) -> None:
    settings.BATCH_LINES = 3
    ended = await shop.done(await shop.begin([line(n) for n in range(3)]))
    assert ended["status"] == "completed"
    ended = await shop.done(await shop.begin([line(n) for n in range(4)]))
    assert [e["code"] for e in ended["errors"]["data"]] == ["too_many_lines"]


async def test_a_line_that_is_too_long(shop: Shop, settings: Settings) -> None:
    settings.MAX_BODY_BYTES = 10_000
    ended = await shop.done(await shop.begin([line(1), b"x" * 3_000_000, line(2)]))
    (error,) = ended["errors"]["data"]
    assert (error["line"], error["code"]) == (2, "line_too_long")


# Limits, quotas and prices ------------------------------------------------------------------------
async def test_so_many_lines_run_at_once(shop: Shop, echo: Echo, settings: Settings) -> None:
    settings.BATCH_IN_FLIGHT = 2
    echo.pause_s = 0.01
    await shop.done(await shop.begin([line(n) for n in range(12)]))
    assert echo.most == 2


async def test_lines_cost_half(shop: Shop) -> None:
    prices = {"prompt": 10, "cached": 10, "completion": 100}
    await in_database(Price.objects.create)(model="mock", since=timezone.now(), **prices)
    await asyncio.sleep(1.1)  # the price list is looked up once a second
    await shop.done(await shop.begin([line(1)]))
    usage = await in_database(Usage.objects.get)()
    assert (usage.cost, usage.repeated) == ((5 * 10 + 3 * 100) // 2, False)


async def test_lines_cost_half_of_a_pools_own_price_too(shop: Shop) -> None:
    (pool,) = engines.pools()
    prices = {"prompt": 10, "cached": 10, "completion": 100}
    for name, times in (("", 7), (pool, 1)):
        at = {unit: price * times for unit, price in prices.items()}
        price = partial(Price.objects.create, model="mock", pool=name, since=timezone.now(), **at)
        await in_database(price)()
    await asyncio.sleep(1.1)  # the price list is looked up once a second
    await shop.done(await shop.begin([line(1)]))
    assert (await in_database(Usage.objects.get)()).cost == (5 * 10 + 3 * 100) // 2


async def test_a_quota_that_is_used_up_fails_lines(shop: Shop) -> None:
    """It frees after the batch's day: nobody waits for that."""
    tenant = await in_database(lambda: shop.key.tenant)()
    await in_database(Quota.set)(tenant, unit="requests", window="month", limit=3, by="test")
    batch = await shop.begin([line(n) for n in range(5)])
    near = timezone.now() + timedelta(minutes=5)
    await in_database(Batch.objects.update)(expires_at=near)
    ended = await shop.done(batch)
    assert ended["request_counts"] == {"total": 5, "completed": 3, "failed": 2}
    rows = await shop.lines(ended["error_file_id"])
    assert {row["response"]["body"]["error"]["code"] for row in rows} == {"insufficient_quota"}


async def test_a_line_that_the_whole_quota_is_too_small_for_fails_at_once(shop: Shop) -> None:
    """Tomorrow's quota would refuse it as well: the batch does not wait for it."""
    tenant = await in_database(lambda: shop.key.tenant)()
    await in_database(Quota.set)(tenant, unit="tokens", window="day", limit=1_000, by="test")
    large = line(0)
    large["body"]["max_tokens"] = 2_000
    batch = await shop.begin([large, line(1)])
    await in_database(Batch.objects.update)(expires_at=timezone.now() + timedelta(days=3))
    ended = await shop.done(batch)
    assert ended["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    (row,) = await shop.lines(ended["error_file_id"])
    assert row["custom_id"] == "id-0"
    assert row["response"]["body"]["error"]["code"] == "insufficient_quota"


async def test_a_quota_that_frees_in_time_loses_no_line(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line that found it used up had claimed its turn: it is asked again all the same."""
    monkeypatch.setattr(submitting, "LOOK_AGAIN_S", 0.2)
    tenant = await in_database(lambda: shop.key.tenant)()
    quota = partial(Quota.set, tenant, unit="requests", window="day", by="test")
    await in_database(quota)(limit=3)
    batch = await shop.begin([line(n) for n in range(6)])
    await in_database(Batch.objects.update)(expires_at=timezone.now() + timedelta(days=3))
    task = asyncio.ensure_future(shop.done(batch))
    await until(lambda: asyncio.sleep(0.02, len(echo.asked) == 3))
    await until(in_database(lambda: IdempotencyKey.objects.count() > 3))
    await in_database(quota)(limit=100)
    ended = await task
    assert ended["request_counts"] == {"total": 6, "completed": 6, "failed": 0}
    assert Counter(echo.said) == Counter(f"say {n}" for n in range(6))


async def test_the_limit_per_minute_holds_lines_and_fails_none(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it stays for other requests of the key."""
    await in_database(shop.key.change)(by="test", requests_per_minute=60, burst=10)
    batch = await shop.begin([line(n) for n in range(8)])
    task = asyncio.ensure_future(shop.done(batch))
    await until(lambda: asyncio.sleep(0.02, len(echo.asked) >= 5))
    answer = await shop.client.post(CHAT, json=line(99)["body"])
    assert answer.status_code == 200
    ended = await task
    assert ended["request_counts"] == {"total": 8, "completed": 8, "failed": 0}


# Its end ------------------------------------------------------------------------------------------
async def test_cancelled_it_keeps_what_has_ended(
    shop: Shop, echo: Echo, settings: Settings
) -> None:
    """What runs may finish; what waits is taken out of the queue, and costs nothing."""
    settings.BATCH_IN_FLIGHT = 8
    echo.free = 5
    batch = await shop.begin([line(n) for n in range(14)])
    task = asyncio.ensure_future(shop.done(batch))
    await until(lambda: asyncio.sleep(0.02, echo.speaking == 4))
    await until(in_database(lambda: Completion.objects.count() == 13))
    answer = await shop.client.post(f"/v1/batches/{batch['id']}/cancel")
    assert answer.json()["status"] == "cancelling"
    taken_out = Usage.objects.filter(status=499)
    await until(in_database(lambda: taken_out.count() == 4))
    echo.gate.set()
    ended = await task
    assert ended["status"] == "cancelled"
    done = await shop.lines(ended["output_file_id"])
    rest = await shop.lines(ended["error_file_id"])
    assert len(done) == ended["request_counts"]["completed"] == 9
    assert {row["custom_id"] for row in done} == {f"id-{said[4:]}" for said in echo.said}
    assert len(rest) == 5
    assert {row["error"]["code"] for row in rest} == {"batch_cancelled"}
    for usage in await rows_of(taken_out):
        assert (usage.prompt_tokens, usage.completion_tokens, usage.cost) == (0, 0, 0)
    assert not await in_database(Completion.objects.open().exists)()
    again = await shop.client.post(f"/v1/batches/{batch['id']}/cancel")
    assert again.json()["status"] == "cancelled"
    assert await in_database(Event.objects.filter(action="batch:cancel").count)() == 1


async def test_a_line_that_an_operator_cancels_is_not_asked_again(
    shop: Shop, echo: Echo, settings: Settings
) -> None:
    settings.BATCH_IN_FLIGHT, echo.free = 8, 0
    batch = await shop.begin([line(n) for n in range(6)])
    task = asyncio.ensure_future(shop.done(batch))
    await until(lambda: asyncio.sleep(0.02, echo.speaking == 4))
    await until(in_database(lambda: Completion.objects.count() == 6))

    def cancel_what_waits() -> int:
        one = Completion.objects.earliest("created_at")
        chosen = cancelling.chosen_line(one.pool, "batch", one.tenant_id, 100)
        return cancelling.cancel(chosen, by="test")

    assert await in_database(cancel_what_waits)() == 2
    echo.gate.set()
    ended = await task
    assert ended["request_counts"] == {"total": 6, "completed": 4, "failed": 2}
    rest = await shop.lines(ended["error_file_id"])
    codes = {row["response"]["body"]["error"]["code"] for row in rest}
    assert (codes, len(echo.asked)) == ({"cancelled_by_operator"}, 4)


async def test_answers_that_went_astray_are_found(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Redis loses its data before they are read."""
    monkeypatch.setattr(FrameReader, "_distribute", lambda *_: None)
    ended = await shop.done(await shop.begin([line(n) for n in range(6)]))
    assert ended["request_counts"] == {"total": 6, "completed": 6, "failed": 0}


async def test_cancelled_it_counts_what_had_just_ended(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FrameReader, "_distribute", lambda *_: None)
    monkeypatch.setattr(in_flight, "LOOK_S", 60)
    batch = await shop.begin([line(n) for n in range(3)])
    task = asyncio.ensure_future(shop.done(batch))
    await until(lambda: in_database(lambda: Usage.objects.count() == 3)())
    await shop.client.post(f"/v1/batches/{batch['id']}/cancel")
    ended = await task
    assert (ended["status"], ended["error_file_id"]) == ("cancelled", None)
    assert ended["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert len(await shop.lines(ended["output_file_id"])) == 3


async def test_a_driver_that_stops_meanwhile_leaves_the_rest_to_another(
    shop: Shop, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo.free = 1
    batch = await shop.begin([line(n) for n in range(3)])
    stop = asyncio.Event()
    task = asyncio.create_task(driver.drive(shop.context, stop))
    await until(lambda: asyncio.sleep(0.02, echo.speaking == 2))
    await shop.client.post(f"/v1/batches/{batch['id']}/cancel")
    stop.set()
    await asyncio.wait_for(task, 20)
    assert (await shop.batch(batch))["status"] == "cancelling"
    echo.gate.set()
    ended = await shop.done(batch)
    assert ended["status"] == "cancelled"
    assert ended["request_counts"] == {"total": 3, "completed": 3, "failed": 0}


async def test_cancelled_before_it_began(shop: Shop, echo: Echo) -> None:
    batch = await shop.begin([line(1)])
    await shop.client.post(f"/v1/batches/{batch['id']}/cancel")
    assert (await shop.done(batch))["status"] == "cancelled"
    assert echo.asked == []


async def test_it_is_too_late_to_cancel(shop: Shop) -> None:
    ended = await shop.done(await shop.begin([line(1)]))
    answer = await shop.client.post(f"/v1/batches/{ended['id']}/cancel")
    assert answer.status_code == 409


async def test_a_line_that_begins_at_the_end_of_the_window_may_finish(
    shop: Shop, echo: Echo
) -> None:
    """It runs for as long as any request may; only beginning is over."""
    echo.pause_s = 4.5
    batch = await shop.begin([line(1)])
    soon = timezone.now() + timedelta(seconds=3)
    await in_database(Batch.objects.update)(expires_at=soon)
    ended = await shop.done(batch)
    assert ended["request_counts"] == {"total": 1, "completed": 1, "failed": 0}


async def test_it_expires_and_keeps_what_has_ended(
    shop: Shop, echo: Echo, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had begun may end, and counts."""
    winding_up, wind_up = asyncio.Event(), BatchWork.wind_up

    async def noticed(self: BatchWork) -> bool:
        winding_up.set()
        return await wind_up(self)

    monkeypatch.setattr(BatchWork, "wind_up", noticed)
    settings.BATCH_IN_FLIGHT, echo.free = 1, 1
    batch = await shop.begin([line(n) for n in range(3)])
    task = asyncio.ensure_future(shop.done(batch))
    await until(lambda: asyncio.sleep(0.02, len(echo.asked) == 2))
    a_moment_ago = timezone.now() - timedelta(seconds=1)
    await in_database(Batch.objects.update)(expires_at=a_moment_ago)
    await winding_up.wait()
    echo.gate.set()
    ended = await task
    assert ended["status"] == "expired"
    assert ended["expired_at"]
    rest = await shop.lines(ended["error_file_id"])
    assert {row["error"]["code"] for row in rest} == {"batch_expired"}
    assert (ended["request_counts"]["completed"], len(rest)) == (2, 1)


async def test_one_whose_lines_have_all_ended_does_not_expire(shop: Shop) -> None:
    """Its last driver died before it could end it, and the next one came late."""
    batch = await shop.begin([line(n) for n in range(2)])
    await shop.done(batch)
    again = {"state": "in_progress", "ended_at": None, "leased_until": None}
    past = timezone.now() - timedelta(seconds=1)
    await in_database(Batch.objects.update)(**again, due_at=past, expires_at=past)
    ended = await shop.done(batch)
    assert (ended["status"], ended["expired_at"]) == ("completed", None)
    assert len(await shop.lines(ended["output_file_id"])) == 2


async def test_whose_input_is_gone_fails(shop: Shop) -> None:
    batch = await shop.begin([line(1)])
    await in_database(FileChunk.objects.all().delete)()
    ended = await shop.done(batch)
    assert ended["status"] == "failed"
    assert [e["code"] for e in ended["errors"]["data"]] == ["input_gone"]


async def test_a_line_that_was_cut_off_and_is_billed_says_so(
    shop: Shop, echo: Echo, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def has_begun(*_: Any) -> int:
        return 5

    monkeypatch.setattr(Generation, "_prompt", has_begun)
    settings.BATCH_IN_FLIGHT, echo.free = 2, 0
    await shop.begin([line(n) for n in range(4)])
    task = shop.drive()
    await until(lambda: asyncio.sleep(0.02, echo.speaking == 2))
    await in_database(shop.key.revoke)(by="test")
    await asyncio.wait_for(task, 30)

    def told() -> list[dict[str, Any]]:
        batch = Batch.objects.get()
        assert batch.error_file_id
        content = FileReader(File.objects.get(pk=batch.error_file_id)).piece(0)
        return [orjson.loads(each) for each in content.splitlines()]

    codes = Counter(row["error"]["code"] for row in await in_database(told)())
    assert codes == {"cut_off": 2, "batch_failed": 2}
    assert await in_database(lambda: Usage.objects.filter(prompt_tokens=5).count())() == 2


async def test_a_revoked_key_ends_it(shop: Shop, echo: Echo, settings: Settings) -> None:
    settings.BATCH_IN_FLIGHT, echo.free = 2, 0
    batch = await shop.begin([line(n) for n in range(20)])
    task = shop.drive()
    await until(lambda: asyncio.sleep(0.02, echo.speaking == 2))
    await in_database(shop.key.revoke)(by="test")
    echo.gate.set()
    await asyncio.wait_for(task, 30)
    row = await in_database(Batch.objects.get)()
    assert (row.state, row.problems[0]["code"]) == ("failed", "access_revoked")
    assert len(echo.asked) < 20
    assert batch["id"] == row.public_id


# Pause, window ------------------------------------------------------------------------------------
async def test_paused_it_finishes_what_runs_and_nobody_drives_it(
    shop: Shop, echo: Echo, settings: Settings
) -> None:
    settings.BATCH_IN_FLIGHT, echo.free = 1, 2
    batch = await shop.begin([line(n) for n in range(8)])
    driving = shop.drive()
    await until(lambda: asyncio.sleep(0.02, len(echo.asked) == 3))
    row = await in_database(Batch.objects.get)()
    assert await in_database(row.pause)()
    await asyncio.sleep(0.3)  # the driver has looked
    echo.gate.set()
    await asyncio.wait_for(driving, 20)
    paused = await shop.batch(batch)
    assert paused["status"] == "in_progress"
    assert paused["request_counts"]["completed"] == 3
    assert await in_database(driver.take)(10, Counter()) == []
    await in_database(row.resume)()
    assert (await shop.done(batch))["request_counts"]["completed"] == 8
    assert Counter(echo.said).most_common(1)[0][1] == 1


async def test_outside_its_window_it_waits_and_nobody_drives_it(
    shop: Shop, echo: Echo, settings: Settings
) -> None:
    now = timezone.now().replace(hour=12, minute=0) + timedelta(days=1)
    shop.now = lambda: now
    settings.BATCH_WINDOW = PoolWindow.parse("22:00-06:00")
    batch = await shop.begin([line(n) for n in range(3)])
    far = now + timedelta(days=30)
    await in_database(Batch.objects.update)(expires_at=far)
    waiting = await shop.done(batch)
    assert (waiting["status"], echo.asked) == ("in_progress", [])
    row = await in_database(Batch.objects.get)()
    opens = now.replace(hour=22, second=0, microsecond=0)
    assert (row.due_at, row.leased_until) == (opens, None)
    shop.now = lambda: opens
    await in_database(Batch.objects.update)(due_at=timezone.now())
    assert (await shop.done(batch))["status"] == "completed"


async def resting(shop: Shop, settings: Settings) -> dict[str, Any]:
    """A batch that waits at noon for the night."""
    noon = timezone.now().replace(hour=12, minute=0) + timedelta(days=1)
    shop.now = lambda: noon
    settings.BATCH_WINDOW = PoolWindow.parse("22:00-06:00")
    batch = await shop.begin([line(n) for n in range(3)])
    await in_database(Batch.objects.update)(expires_at=noon + timedelta(days=30))
    assert (await shop.done(batch))["status"] == "in_progress"
    return batch


async def is_due() -> bool:
    due: bool = await in_database(Batch.objects.due().exists)()
    return due


async def test_a_window_that_is_opened_wakes_what_waits_for_the_old_one(
    shop: Shop, settings: Settings
) -> None:
    """By the process that drives batches: as it starts, and with each change of the engines."""
    batch = await resting(shop, settings)
    jobs = Mock()
    jobs.app.amqp.queues.consume_from = {"jobs": None}
    assert not await is_due()
    tasks._is_there(sender=jobs)
    try:
        await until(is_due)
        assert (await shop.done(batch))["status"] == "in_progress", "it still is noon"
        assert not await is_due()
        settings.BATCH_WINDOW = PoolWindow.parse("10:00-14:00")
        changed.send(None)
        await until(is_due)
    finally:
        changed.disconnect(wake_resting_soon)
    assert (await shop.done(batch))["status"] == "completed"


async def test_a_window_that_opens_since_the_tenant_has_another_time_zone(
    shop: Shop, acme: Tenant, settings: Settings
) -> None:
    batch = await resting(shop, settings)
    await in_database(acme.change)(by="test", retention_days=200)
    assert not await is_due()
    noon_here_is_midnight_there = "Pacific/Auckland"
    await in_database(acme.change)(by="test", time_zone=noon_here_is_midnight_there)
    assert await is_due()
    assert (await shop.done(batch))["status"] == "completed"


async def test_a_window_that_is_opened_while_its_driver_lets_go_of_it(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lets_go = Batch.release

    def opened_meanwhile(batch: Batch, lease: UUID, due_at: datetime) -> None:
        settings.BATCH_WINDOW = PoolWindow.parse("10:00-14:00")
        lets_go(batch, lease, due_at)

    noon = timezone.now().replace(hour=12, minute=0) + timedelta(days=1)
    shop.now = lambda: noon
    settings.BATCH_WINDOW = PoolWindow.parse("22:00-06:00")
    monkeypatch.setattr(Batch, "release", opened_meanwhile)
    batch = await shop.begin([line(n) for n in range(3)])
    await in_database(Batch.objects.update)(expires_at=noon + timedelta(days=30))
    assert (await shop.done(batch))["status"] == "completed"


async def test_in_its_window_as_many_run_as_the_ramp_allows(
    shop: Shop, echo: Echo, settings: Settings
) -> None:
    now = timezone.now().replace(hour=22, minute=1, second=0)
    shop.now = lambda: now
    settings.BATCH_WINDOW = PoolWindow.parse("22:00-06:00", ramp=64)
    echo.pause_s = 0.01
    batch = await shop.begin([line(n) for n in range(10)])
    await in_database(Batch.objects.update)(expires_at=now + timedelta(days=1))
    assert (await shop.done(batch))["status"] == "completed"
    assert echo.most == 2


# With kept answers --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "narrow",
    [{"scopes": ["batch"]}, {"allowed_networks": ["198.51.100.0/24"]}],
    ids=lambda narrow: next(iter(narrow)),
)
async def test_lines_that_share_an_answer_in_flight_need_no_more_than_their_batch_did(
    shop: Shop, echo: Echo, narrow: dict[str, Any], acme: Tenant
) -> None:
    """One asks the engine; the others wait, and are looked at again as what they are: lines."""
    await in_database(lambda: shop.key.change(by="test", **narrow))()
    await in_database(lambda: CacheRule.set(acme, on=True, by="test"))()
    await asyncio.sleep(1)
    echo.pause_s, echo.config = 0.5, replace(echo.config, model="mock")
    body = {"model": "mock", "messages": [{"role": "user", "content": "same"}], "temperature": 0}
    ended = await shop.done(await shop.begin([line(n, body=body) for n in range(4)]))
    assert (ended["status"], ended["request_counts"]["completed"]) == ("completed", 4)
    assert len(echo.asked) == 1
    levels = await in_database(lambda: sorted(Usage.objects.values_list("cache", flat=True)))()
    assert levels == ["miss", "shared", "shared", "shared"]
