"""The simulator: a seed gives the same day again, and a policy shows what it does."""

from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import pytest
from django.conf import settings

from bench.simulate import policy
from bench.simulate.arrivals import Request
from bench.simulate.day import simulated
from bench.simulate.pool import SimulatedPool
from bench.simulate.report import ClassDay, SimulationReport, section
from bench.simulate.virtual_link import VirtualLink
from inference.record.parked import MOST_TIMES

SMALL = {"tenants": 12, "engines": 2, "hours": 2, "pools": 2}
LOWER = ("batch", "finetune", "preprocess")
CROWDED = """
[load.realtime]
share = 1.2
curve = "flat"
[load.batch]
share = 0.3
burst = 20
[load.finetune]
share = 0
[load.preprocess]
share = 0
"""
NOTHING_ELSE = """
[load.realtime]
share = 0
[load.finetune]
share = 0
[load.preprocess]
share = 0
"""
KEPT = f"""{NOTHING_ELSE}
[load.batch]
share = 1.5
burst = 20
"""
FLOOD = f"""{NOTHING_ELSE}
[load.batch]
share = 2.0
burst = 60
tokens = 500
[weights]
1 = 0.5
4 = 0.5
"""


async def a_day(tmp_path: Path, said: str = "", seed: int = 1, **day: float) -> SimulationReport:
    file = tmp_path / "policy.toml"
    file.write_text(said)
    report = await simulated(policy.read(file, **{**SMALL, **day}), seed, settings.REDIS_URL)
    report.wall = None
    return report


def of(report: SimulationReport, klass: str) -> ClassDay:
    return next(one for one in report.classes if one.name == klass)


async def test_a_seed_gives_the_same_day_again(tmp_path: Path) -> None:
    first = await a_day(tmp_path)
    assert first.pops > 100
    assert await a_day(tmp_path) == first
    assert await a_day(tmp_path, seed=2) != first
    assert "| realtime |" in section(first)
    assert "longest wait" in section(first)


async def test_no_pool_is_without_an_engine(tmp_path: Path) -> None:
    report = await a_day(tmp_path, engines=1, pools=2, hours=0.2)
    assert report.pops


async def test_strict_order_starves_and_a_minimum_share_does_not(tmp_path: Path) -> None:
    none = "[classes.batch]\nminimum_share = 0\nageing_s = 0\n"
    strict = of(await a_day(tmp_path, CROWDED + none), "batch")
    quarter = "[classes.batch]\nminimum_share = 0.25\n"
    fair = of(await a_day(tmp_path, CROWDED + quarter), "batch")
    assert fair.came == strict.came
    assert fair.finished > 2 * max(1, strict.finished)
    assert fair.fill > 2 * strict.fill


async def test_batch_makes_room_for_realtime(tmp_path: Path) -> None:
    kept = "".join(f"[classes.{name}]\npreemptible = false\n" for name in LOWER)
    before, now = await a_day(tmp_path, kept), await a_day(tmp_path)
    assert of(before, "batch").parked == 0
    assert 0 < of(now, "batch").parked <= MOST_TIMES * of(now, "batch").came
    waited, waits = (sum(of(day, "realtime").longest_s.values()) for day in (before, now))
    assert waits < waited / 2


async def test_slots_that_are_kept_free_wait_for_realtime(tmp_path: Path) -> None:
    busy = of(await a_day(tmp_path, KEPT), "batch")
    kept = of(await a_day(tmp_path, KEPT + "[limits.realtime]\nreserved = 1\n"), "batch")
    assert busy.fill > 0.75
    assert 0.4 < kept.fill <= 0.5  # a pool has two slots


WIDE: dict[str, Any] = {"pools": 1, "engines": 8, "tenants": 12, "hours": 0.5}  # of 16 slots
BOTH = """
[load.realtime]
share = 0.45
curve = "flat"
tokens = 150
[load.batch]
share = 2
burst = 100
tokens = 1000
[load.finetune]
share = 0
[load.preprocess]
share = 0
[limits.realtime]
"""


async def test_headroom_spares_preemptions_and_the_engines_stay_full(tmp_path: Path) -> None:
    without = await a_day(tmp_path, BOTH + "headroom = 0\n", **WIDE)
    day = await a_day(tmp_path, BOTH, **WIDE)
    assert day.fill > without.fill - 3 / 16, "as many slots are kept free at most"
    assert of(day, "batch").parked < of(without, "batch").parked / 2
    waited, waits = (of(each, "realtime") for each in (without, day))
    assert waited.wait_p95_s is not None
    assert waits.wait_p95_s is not None
    assert waits.wait_p95_s < waited.wait_p95_s / 2


@pytest.mark.parametrize(("headroom", "at_least", "at_most"), [("0", 1.0, 9.0), ("", 0.0, 0.5)])
async def test_a_flood_hardly_delays_another_tenant(
    tmp_path: Path, headroom: str, at_least: float, at_most: float
) -> None:
    """Requests of 10 s each, one slot ends about every 0.6 s; another tenant has one in 5 s."""
    said = f"[limits.realtime]\nheadroom = {headroom}" if headroom else ""
    (tmp_path / "policy.toml").write_text(said)
    day = policy.read(tmp_path / "policy.toml", engines=8, hours=0.2, pools=1)
    flood = [_request("flood", n, at=0.0) for n in range(1_500)]
    modest = [_request("modest", n, at=60 + 5.03 * n) for n in range(100)]
    link, name = VirtualLink(settings.REDIS_URL), f"simulated-{uuid4().hex}"
    try:
        with day.in_force({name: 16}):
            arrivals = iter(sorted(flood + modest, key=lambda each: each.at))
            await SimulatedPool(link, name, 8, day.day, arrivals).run()
    finally:
        link.close()
    waits = sorted(one.started - one.at for one in modest if one.started is not None)
    assert len(waits) > 95
    assert at_least <= waits[len(waits) * 95 // 100] <= at_most


def _request(tenant: str, number: int, at: float) -> Request:
    name = f"{tenant}-{number}"
    tokens = 150 + crc32(name.encode()) % 100
    return Request(name, at, "realtime", tenant, 1, 10, tokens, 500)


async def test_an_idle_pool_is_filled(tmp_path: Path) -> None:
    batch = of(await a_day(tmp_path, KEPT.replace("1.5", "3"), **WIDE), "batch")
    assert batch.fill > 0.97


async def test_backlogged_tenants_get_what_their_weights_say(tmp_path: Path) -> None:
    batch = of(await a_day(tmp_path, FLOOD, pools=1, engines=1, tenants=6), "batch")
    assert batch.backlogged >= 4
    assert batch.jain is not None
    assert batch.jain > 0.98


@pytest.mark.parametrize("wrong", ["[lode.batch]\nshare = 1", "[load.batch]\nshaer = 1"])
def test_an_unknown_name_in_a_policy_is_an_error(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "policy.toml").write_text(wrong)
    with pytest.raises((KeyError, TypeError)):
        policy.read(tmp_path / "policy.toml")
