"""The simulator: a seed gives the same day again, and a policy shows what it does."""

from pathlib import Path

import pytest
from django.conf import settings

from bench.simulation import policy
from bench.simulation.day import simulated
from bench.simulation.report import ClassDay, SimulationReport, picture, section
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
    assert "Busy slots" in picture(first)


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
