"""What the platform adds to the load of a new version, without a clock: waits, and statements.

The aim is 500 ms: statements take a millisecond or two each, the rest is
how late the platform notices that the engine is ready.
"""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inference.engines.base import Engine as Spoken
from inference.engines.transport.session import EngineSession
from inference.models import Engine
from inference.models.replacement import Step
from inference.replacing import acceptance, driving
from inference.replacing.driving import Drive, Lost
from tests.inference.replacing.version import Version, begun

MOST_WAIT_S = 0.25
MOST_STATEMENTS = 32


class Loading:
    """An engine that is ready at a time, and the clock by which it is."""

    def __init__(self, ready_at: float) -> None:
        self.now, self._ready_at = 0.0, ready_at

    async def answers(self, _session: EngineSession) -> bool:
        return self.now >= self._ready_at

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@pytest.mark.unit
@pytest.mark.parametrize("load_s", [0.0, 0.51, 3.14, 9.99, 10.01, 61.7, 899.0])
def test_it_notices_a_ready_engine_soon_however_long_that_took(
    load_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = Loading(load_s)
    clock = SimpleNamespace(sleep=loading.sleep, timeout=asyncio.timeout)
    monkeypatch.setattr(acceptance, "asyncio", clock)
    monkeypatch.setattr(acceptance, "time", loading)
    asyncio.run(acceptance.until_it_answers(cast(Spoken, loading), cast(EngineSession, None)))
    assert load_s <= loading.now <= load_s + MOST_WAIT_S


@pytest.mark.django_db
def test_from_ready_to_serving_it_waits_for_nothing_and_asks_little(
    engine: Engine, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a beat waited for, it would take an hour."""
    monkeypatch.setattr(driving, "BEAT_S", 3600)
    monkeypatch.setattr(Drive, "_await_drained", gone)
    replacement = begun(engine, version, warm_ups=3)
    driver = replacement.claim()
    assert driver
    with (
        CaptureQueriesContext(connection) as asked,
        Drive(replacement.pk, driver) as drive,
        pytest.raises(Lost),
    ):
        drive.run()
    replacement.refresh_from_db()
    assert replacement.step == Step.SWITCHED
    assert version.looks <= 3
    assert len(asked) <= MOST_STATEMENTS, [query["sql"] for query in asked]


def gone(_drive: Drive, _row: Any) -> None:
    raise Lost
