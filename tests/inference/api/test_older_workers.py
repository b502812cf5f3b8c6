"""A worker of the last release leaves orders that it would answer in part to a newer one."""

import asyncio

import httpx
import msgspec
import pytest

from inference.models import Completion, Usage
from inference.order import Order
from inference.queue.client import client as queue_client
from inference.queue.fair_queue import prefix
from inference.worker import leased_request
from inference.worker.recovery import restoring
from tests.inference.api.conftest import in_database
from tests.inference.engine_server import EngineServer
from tests.inference.running import until

pytestmark = pytest.mark.django_db(transaction=True)
BODY = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "n": 3}
# The last release took the fields that it knew, and ignored all behind them.
as_before = msgspec.msgpack.Decoder(Order).decode


async def test_several_answers_wait_for_a_newer_worker_and_are_one_bill(
    client: httpx.AsyncClient,
    engine: EngineServer,
    pool: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as last_release:
        last_release.setattr(leased_request, "unpacked", as_before)
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=BODY))
        await until(lambda: _is_given_back(pool, caplog))
    assert engine.asked == []
    assert not await in_database(Usage.objects.exists)()
    open_one = await in_database(Completion.objects.open().get)()
    await in_database(restoring.enqueue_again)(pool, open_one.pk)
    answer = (await asyncio.wait_for(asking, 60)).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    usage = await in_database(Usage.objects.get)()
    assert (usage.completion_id, usage.completion_tokens) == (open_one.pk, 9)
    assert answer["usage"]["completion_tokens"] == 9


async def _is_given_back(pool: str, caplog: pytest.LogCaptureFixture) -> bool:
    if "cannot read request" not in caplog.text:
        return False
    return not await in_database(queue_client().exists)(f"{prefix(pool)}:orders")
