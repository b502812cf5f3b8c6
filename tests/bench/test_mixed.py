"""The study of mixed work: one fleet does both, and real-time requests do not notice."""

from dataclasses import replace

import pytest
from django.conf import settings

from bench.mixed.day import MixedDay, MixedReport, played
from bench.mixed.report import section
from inference.energy.consolidation import Rules

NIGHT = MixedDay(engines=4, slots=4, hours=0.5, share=0.2, rules=Rules(0.8, 120, margin=0.9))


async def a_day(**fields: object) -> MixedReport:
    return await played(replace(NIGHT, **fields), settings.REDIS_URL)  # type: ignore[arg-type]


@pytest.fixture
async def night() -> MixedReport:
    return await a_day()


async def test_a_night_lends_engines_and_answers_all_requests(night: MixedReport) -> None:
    assert night.mixed.lent > 0
    assert night.apart.lent == night.apart.jobs_h == 0
    assert night.mixed.requests == pytest.approx(night.apart.requests, abs=2)
    assert 0.2 < night.saved < 0.75
    assert night.dedicated == pytest.approx(night.mixed.jobs_h / 0.5)
    assert night.slower < 1.1


async def test_gpu_time_is_counted_once(night: MixedReport) -> None:
    """Engines that serve, jobs and handing over share the fleet's hours."""
    assert night.mixed.awake_h + night.mixed.jobs_h < 4 * 0.5
    assert night.apart.awake_h == pytest.approx(4 * 0.5, rel=0.01)


async def test_a_rush_gets_its_engines_back(night: MixedReport) -> None:
    """At a load that needs all engines, nothing is lent for long."""
    rush = await a_day(share=0.75)
    assert rush.mixed.jobs_h < 0.2 * night.mixed.jobs_h
    assert rush.slower < 1.1


async def test_the_same_seed_gives_the_same_day(night: MixedReport) -> None:
    assert await a_day() == night
    assert await a_day(seed=8) != night


def test_the_table_has_both_fleets(night: MixedReport) -> None:
    text = section(night)
    assert "| apart |" in text
    assert "| mixed |" in text
    assert f"{night.saved:.1%} less hardware" in text
