"""Two workers of one engine draw from its queue: together they keep within its slots."""

import asyncio
import os
import signal
from uuid import UUID

import httpx
import psycopg
import pytest
import redis
from django.conf import settings

from bench.servers.forebay import UNLIMITED
from inference.queue.fair_queue import prefix
from tests.e2e.ask import body, eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.test_limits import new_key

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
SLOTS = 4


def runners_at_work(platform: Platform) -> set[bytes]:
    with redis.Redis.from_url(platform.running()["REDIS_URL"]) as server:
        return set(server.hvals(f"{prefix('mock')}:on"))


async def asked(platform: Platform, key: str, times: int) -> list[httpx.Response]:
    headers, most = {"Authorization": f"Bearer {key}"}, httpx.Limits(max_connections=times)
    url = f"{platform.url}/v1/chat/completions"
    async with httpx.AsyncClient(headers=headers, timeout=60, limits=most) as client:
        return await asyncio.gather(*(client.post(url, json=body()) for _ in range(times)))


async def while_both_work(platform: Platform, times: int, *, kill: bool) -> list[httpx.Response]:
    """The answers; one of the workers is killed once both have something to do."""
    key = new_key(platform, *UNLIMITED)
    asking = asyncio.create_task(asked(platform, key, times))
    await asyncio.to_thread(eventually, lambda: len(runners_at_work(platform)) == 2)
    if kill:
        os.kill(platform.pids("worker")[0], signal.SIGKILL)
    return await asking


def test_together_they_use_all_slots_and_no_more(doubled: Platform, mock: Mock) -> None:
    mock.behave(tokens=1, delay_ms=300)
    answers = asyncio.run(while_both_work(doubled, 24, kill=False))
    assert {answer.status_code for answer in answers} == {200}
    assert mock.state()["peak"] == SLOTS


def test_what_a_killed_one_had_the_other_answers_and_bills_once(
    doubled: Platform, mock: Mock
) -> None:
    mock.behave(tokens=1, delay_ms=1000)
    answers = asyncio.run(while_both_work(doubled, 12, kill=True))
    assert {answer.status_code for answer in answers} == {200}
    assert mock.state()["peak"] <= SLOTS
    ids = [UUID(answer.headers["x-request-id"]) for answer in answers]
    assert len(set(ids)) == 12
    with psycopg.connect(doubled.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        query = "select count(*), max(attempts) from inference_usage where completion_id = any(%s)"
        assert database.execute(query, (ids,)).fetchone() == (12, 2)
    eventually(lambda: len(doubled.pids("worker")) == 2)
