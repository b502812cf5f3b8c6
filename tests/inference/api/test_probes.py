"""Readiness, asked by many at once."""

import asyncio
from typing import Any, cast

import pytest

from inference.api import readiness
from inference.intake.context import Context

NOBODY = cast(Context, cast(Any, None))


async def test_a_flood_of_probes_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    async def look(_context: object) -> dict[str, bool]:
        looks.append(1)
        await asyncio.sleep(0.05)
        return {"database": len(looks) == 1}

    monkeypatch.setattr(readiness, "checks", look)
    monkeypatch.setattr(readiness, "KEPT_S", 0.2)
    answers = await asyncio.gather(*[readiness.recent(NOBODY) for _ in range(100)])
    assert answers == [{"database": True}] * 100
    assert len(looks) == 1
    await asyncio.sleep(0.3)
    assert await readiness.recent(NOBODY) == {"database": False}
    assert len(looks) == 2


async def test_one_that_hangs_up_takes_nobody_along(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(_context: object) -> dict[str, bool]:
        await asyncio.sleep(0.1)
        return {"database": True}

    monkeypatch.setattr(readiness, "checks", look)
    first = asyncio.create_task(readiness.recent(NOBODY))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(readiness.recent(NOBODY))
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == {"database": True}
